-- What lessons cite, as readers see it, and which lessons rest on what has changed since.

grant create on schema app, public to service_role;

alter table public.lesson_contents
  add column stale_since timestamptz,
  add column stale_reason text check (stale_reason in ('source_changed', 'source_removed')),
  add constraint lesson_contents_stale check ((stale_since is null) = (stale_reason is null));

-- Follows the citations of the lessons' blocks; written by triggers alone. What is shown stands here once more, because
-- whoever reads a published course sees what it cites and not its documents.
create table public.lesson_citations (
  lesson_id uuid not null references public.lesson_contents on delete cascade,
  -- The block, from 0.
  block int not null check (block >= 0),
  chunk_id uuid not null references public.chunks on delete cascade,
  course_id uuid not null references public.courses on delete cascade,
  organization_id uuid not null references public.organizations on delete cascade,
  document_id uuid not null references public.documents on delete cascade,
  filename text not null,
  page_first int,
  page_last int,
  heading_path text[] not null,
  excerpt text not null,
  primary key (lesson_id, block, chunk_id)
);
create index lesson_citations_chunk on public.lesson_citations (chunk_id);
create index lesson_citations_course on public.lesson_citations (course_id);
create index lesson_citations_organization on public.lesson_citations (organization_id);
create index lesson_citations_document on public.lesson_citations (document_id);

-- Ids that the blocks of a lesson's text cite; what is no id is left out.
create function app.cited_in(content jsonb) returns table (block int, chunk_id uuid, word text)
  language sql immutable as $$
  select (b.place - 1)::int, case when c.word ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then c.word::uuid end, c.word
  from jsonb_array_elements(case jsonb_typeof(content -> 'blocks') when 'array' then content -> 'blocks' else '[]' end)
    with ordinality as b (value, place),
  jsonb_array_elements_text(case jsonb_typeof(b.value -> 'citations') when 'array' then b.value -> 'citations'
    else '[]' end) as c (word)
$$;

-- The text with other citations: `replaced` says for each word what stands in its place; null: nothing.
create function app.with_citations(content jsonb, replaced jsonb) returns jsonb language sql immutable as $$
  select jsonb_set(content, '{blocks}', (
    select jsonb_agg(
      case when jsonb_typeof(b.value -> 'citations') = 'array' then jsonb_set(b.value, '{citations}', (
        select coalesce(jsonb_agg(kept.word order by kept.place), '[]') from (
          select case when replaced ? c.word then replaced ->> c.word else c.word end as word, min(c.place) as place
          from jsonb_array_elements_text(b.value -> 'citations') with ordinality as c (word, place)
          group by 1) as kept
        where kept.word is not null))
      else b.value end order by b.place)
    from jsonb_array_elements(content -> 'blocks') with ordinality as b (value, place)))
$$;

-- A lesson cites chunks of its course's documents and nothing else.
create function app.keep_known_citations() returns trigger language plpgsql
  security definer set search_path = '' as $$
declare
  unknown jsonb;
begin
  select jsonb_object_agg(cited.word, null::text) into unknown
  from (select distinct c.chunk_id, c.word from app.cited_in(new.content) as c) as cited
  where not exists (
    select from public.chunks as k
    join public.documents as d on d.organization_id = k.organization_id and d.sha256 = k.sha256
    where k.id = cited.chunk_id and d.course_id = new.course_id);
  if unknown is not null then
    new.content := app.with_citations(new.content, unknown);
  end if;
  return new;
end $$;
create trigger lesson_contents_know before insert or update of content on public.lesson_contents
  for each row when (new.content is not null) execute function app.keep_known_citations();

create function app.record_citations() returns trigger language plpgsql
  security definer set search_path = '' as $$
begin
  delete from public.lesson_citations where lesson_id = new.id;
  insert into public.lesson_citations (lesson_id, block, chunk_id, course_id, organization_id, document_id, filename,
    page_first, page_last, heading_path, excerpt)
  select distinct on (c.block, k.id) new.id, c.block, k.id, new.course_id, new.organization_id, d.id, d.filename,
    k.page_first, k.page_last, k.heading_path, left(k.text, 280)
  from app.cited_in(new.content) as c
  join public.chunks as k on k.id = c.chunk_id
  join public.documents as d on d.organization_id = k.organization_id and d.sha256 = k.sha256
    and d.course_id = new.course_id
  -- Of equal documents the latest: the others are about to be replaced by it, or are copies.
  order by c.block, k.id, d.id desc;
  return null;
end $$;
create trigger lesson_contents_cite after insert or update of content on public.lesson_contents
  for each row execute function app.record_citations();

-- A document goes: what cites it is stale, and cites it no more. Another document of the course with the same content
-- takes its place.
create function app.forget_document() returns trigger language plpgsql
  security definer set search_path = '' as $$
declare
  forgotten jsonb;
  twin uuid;
begin
  if not exists (select from public.courses as c where c.id = old.course_id) then
    return old;
  end if;
  select d.id into twin from public.documents as d
  where d.course_id = old.course_id and d.organization_id = old.organization_id and d.sha256 = old.sha256
    and d.id <> old.id
  order by d.id desc limit 1;
  if twin is not null then
    update public.lesson_citations as c set document_id = d.id, filename = d.filename
    from public.documents as d where d.id = twin and c.document_id = old.id;
    return old;
  end if;
  select jsonb_object_agg(c.chunk_id::text, null::text) into forgotten
  from (select distinct chunk_id from public.lesson_citations where document_id = old.id) as c;
  if forgotten is not null then
    update public.lesson_contents as l set
      content = app.with_citations(l.content, forgotten), stale_since = now(), stale_reason = 'source_removed'
    where l.id in (select c.lesson_id from public.lesson_citations as c where c.document_id = old.id);
  end if;
  return old;
end $$;
create trigger documents_forget before delete on public.documents
  for each row execute function app.forget_document();

revoke all on table public.lesson_citations from public, anon, authenticated;
alter table public.lesson_citations enable row level security;
alter table public.lesson_citations force row level security;
create policy service_all on public.lesson_citations to service_role using (true) with check (true);
grant select, insert, update, delete on public.lesson_citations to service_role;
create policy with_course_read on public.lesson_citations for select to authenticated
  using (organization_id = any (array(select app.visible_organizations()))
         and course_id in (select c.id from public.courses as c));
grant select on public.lesson_citations to authenticated;

alter function app.keep_known_citations() owner to service_role;
alter function app.record_citations() owner to service_role;
alter function app.forget_document() owner to service_role;
revoke all on function app.cited_in(jsonb), app.with_citations(jsonb, jsonb), app.keep_known_citations(),
  app.record_citations(), app.forget_document() from public, anon, authenticated;
grant execute on function app.cited_in(jsonb), app.with_citations(jsonb, jsonb), app.keep_known_citations(),
  app.record_citations(), app.forget_document() to service_role;
revoke create on schema app, public from service_role;
