-- Documents of courses, stored once an organization, within its quota (service 4.4).

grant create on schema app, public to service_role;

-- Bytes of stored files, equal ones counted once, and of uploads under way. Kept by triggers alone.
alter table public.organizations add column storage_used_bytes bigint not null default 0 check (storage_used_bytes >= 0);

create table public.blobs (
  organization_id uuid not null references public.organizations on delete cascade,
  -- Of the content, hexadecimal.
  sha256 text not null check (length(sha256) = 64),
  storage_key text not null unique,
  size_bytes bigint not null check (size_bytes >= 0),
  reference_count int not null default 0 check (reference_count >= 0),
  created_at timestamptz not null default now(),
  primary key (organization_id, sha256)
);

create table public.documents (
  id uuid primary key,
  course_id uuid not null references public.courses on delete cascade,
  organization_id uuid not null,
  sha256 text not null,
  -- That of its blob.
  storage_key text not null,
  filename text not null check (length(filename) between 1 and 255),
  mime_type text not null check (length(mime_type) between 1 and 255),
  size_bytes bigint not null check (size_bytes >= 0),
  status text not null default 'uploaded' check (status in ('uploaded', 'processing', 'processed', 'failed')),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  foreign key (organization_id, sha256) references public.blobs (organization_id, sha256) on delete cascade
);
create index documents_course on public.documents (course_id, id);
create index documents_blob on public.documents (organization_id, sha256);
create trigger documents_touch before update on public.documents
  for each row execute function app.touch_updated_at();

-- Room that an upload has taken before its bytes come.
create table public.upload_reservations (
  id uuid primary key,
  course_id uuid not null references public.courses on delete cascade,
  organization_id uuid not null references public.organizations on delete cascade,
  user_id uuid not null references public.users on delete cascade,
  size_bytes bigint not null check (size_bytes >= 0),
  storage_key text not null unique,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null default now() + interval '1 hour'
);
create index upload_reservations_course on public.upload_reservations (course_id);
create index upload_reservations_organization on public.upload_reservations (organization_id);
create index upload_reservations_user on public.upload_reservations (user_id);
create index upload_reservations_expiry on public.upload_reservations (expires_at);

-- Files that nothing refers to any more: an outbox for the store of files, which no transaction can include.
create table public.removed_files (
  storage_key text primary key,
  removed_at timestamptz not null default now()
);

create function app.count_blob() returns trigger language plpgsql
  security definer set search_path = '' as $$
begin
  if tg_op = 'INSERT' then
    update public.organizations set storage_used_bytes = storage_used_bytes + new.size_bytes
    where id = new.organization_id;
  else
    update public.organizations set storage_used_bytes = storage_used_bytes - old.size_bytes
    where id = old.organization_id;
    insert into public.removed_files (storage_key) values (old.storage_key) on conflict do nothing;
  end if;
  return null;
end $$;
create trigger blobs_count after insert or delete on public.blobs
  for each row execute function app.count_blob();

create function app.count_upload() returns trigger language plpgsql
  security definer set search_path = '' as $$
begin
  if tg_op = 'INSERT' then
    update public.organizations set storage_used_bytes = storage_used_bytes + new.size_bytes
    where id = new.organization_id;
  else
    update public.organizations set storage_used_bytes = storage_used_bytes - old.size_bytes
    where id = old.organization_id;
    -- A finished upload's file has become a blob's by now, or is a second copy of one.
    insert into public.removed_files (storage_key)
    select old.storage_key where not exists (select from public.blobs where storage_key = old.storage_key)
    on conflict do nothing;
  end if;
  return null;
end $$;
create trigger upload_reservations_count after insert or delete on public.upload_reservations
  for each row execute function app.count_upload();

create function app.count_document() returns trigger language plpgsql
  security definer set search_path = '' as $$
declare remaining int;
begin
  if tg_op = 'INSERT' then
    update public.blobs set reference_count = reference_count + 1
    where organization_id = new.organization_id and sha256 = new.sha256;
  else
    update public.blobs set reference_count = reference_count - 1
    where organization_id = old.organization_id and sha256 = old.sha256
    returning reference_count into remaining;
    if remaining = 0 then
      delete from public.blobs where organization_id = old.organization_id and sha256 = old.sha256;
    end if;
  end if;
  return null;
end $$;
create trigger documents_count after insert or delete on public.documents
  for each row execute function app.count_document();

-- Takes room for an upload. Uploads of one organization wait for each other at its row, so neither limit can be
-- passed by coming at once. Outcomes: `ok`, `too_many_files` (current: files), `quota` (current: bytes).
create function app.reserve_upload(
  upload uuid, course uuid, person uuid, size bigint, file_limit int, storage_limit bigint,
  out outcome text, out current bigint, out key text
) language plpgsql as $$
declare organization uuid;
begin
  select c.organization_id into organization from public.courses as c where c.id = course;
  select o.storage_used_bytes into current from public.organizations as o where o.id = organization for no key update;
  if current + size > storage_limit then
    outcome := 'quota';
  end if;
  if (select count(*) from public.documents as d where d.course_id = course)
     + (select count(*) from public.upload_reservations as r where r.course_id = course) >= file_limit then
    outcome := 'too_many_files';
    current := (select count(*) from public.documents as d where d.course_id = course)
             + (select count(*) from public.upload_reservations as r where r.course_id = course);
  end if;
  if outcome is not null then
    return;
  end if;
  key := organization || '/' || upload;
  insert into public.upload_reservations (id, course_id, organization_id, user_id, size_bytes, storage_key)
  values (upload, course, organization, person, size, key);
  outcome := 'ok';
end $$;

do $$
declare name text;
begin
  foreach name in array array['blobs', 'documents', 'upload_reservations', 'removed_files'] loop
    execute format('alter table public.%I enable row level security', name);
    execute format('alter table public.%I force row level security', name);
    execute format('create policy service_all on public.%I to service_role using (true) with check (true)', name);
    execute format('grant select, insert, update, delete on public.%I to service_role', name);
  end loop;
end $$;

create policy owner_or_admin_read on public.documents for select to authenticated
  using (organization_id = any (array(select app.visible_organizations()))
         and ((select app.claim_role()) in ('admin', 'superadmin')
              or (select app.claim_role()) = 'instructor'
                 and course_id in (select c.id from public.courses c where c.owner_id = (select auth.uid()))));
grant select on public.documents to authenticated;

alter function app.count_blob() owner to service_role;
alter function app.count_upload() owner to service_role;
alter function app.count_document() owner to service_role;
revoke execute on all functions in schema app from public;
grant execute on function app.count_blob(), app.count_upload(), app.count_document(),
  app.reserve_upload(uuid, uuid, uuid, bigint, int, bigint) to service_role;
revoke create on schema app, public from service_role;
