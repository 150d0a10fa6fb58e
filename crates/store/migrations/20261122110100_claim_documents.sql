-- Reading of documents: who reads which, for how long, and what came of it.

grant create on schema app, public to service_role;

alter table public.documents
  -- Of the reading that is under way; every write for it is fenced with this.
  add column claim_token uuid,
  -- While it is read: until when it is nobody else's. While it waits: not to be read before.
  add column claimed_until timestamptz,
  add column attempts int not null default 0 check (attempts >= 0),
  add column processed_at timestamptz,
  -- A stable word, and a sentence for the author.
  add column error_code text check (length(error_code) between 1 and 100),
  add column error_message text;

-- Nothing read documents before: one that stands as failed has no reason yet.
do $$
begin
  set local role service_role;
  update public.documents set error_code = 'unknown', error_message = 'The document could not be read.'
  where status = 'failed';
  reset role;
end $$;
alter table public.documents add constraint documents_failure
  check ((status = 'failed') = (error_code is not null and error_message is not null));

-- Takes room for an upload, as before. Documents of the same name (`name`, where it is known) that were read, or cannot
-- be, do not count: they go as soon as the new one is read. Those that wait to be read do, or a name could be used
-- without end.
drop function app.reserve_upload(uuid, uuid, uuid, bigint, int, bigint);
create function app.reserve_upload(
  upload uuid, course uuid, person uuid, size bigint, file_limit int, storage_limit bigint, name text,
  out outcome text, out current bigint, out key text
) language plpgsql as $$
declare
  organization uuid;
  files bigint;
begin
  select c.organization_id into organization from public.courses as c where c.id = course;
  select o.storage_used_bytes into current from public.organizations as o where o.id = organization for no key update;
  if current + size > storage_limit then
    outcome := 'quota';
  end if;
  files := (select count(*) from public.documents as d
            where d.course_id = course
              and (name is null or d.filename <> name or d.status in ('uploaded', 'processing')))
         + (select count(*) from public.upload_reservations as r where r.course_id = course);
  if files >= file_limit then
    outcome := 'too_many_files';
    current := files;
  end if;
  if outcome is not null then
    return;
  end if;
  key := organization || '/' || upload;
  insert into public.upload_reservations (id, course_id, organization_id, user_id, size_bytes, storage_key)
  values (upload, course, organization, person, size, key);
  outcome := 'ok';
end $$;

revoke all on function app.reserve_upload(uuid, uuid, uuid, bigint, int, bigint, text) from public, anon, authenticated;
grant execute on function app.reserve_upload(uuid, uuid, uuid, bigint, int, bigint, text) to service_role;
revoke create on schema app, public from service_role;
