-- What is read out of documents: texts, chunks, vectors, summaries (generation 3.1). All of it belongs to the content, so
-- that equal documents of an organization share it, and goes with the blob, which goes with its last document.

grant create on schema app, public to service_role;

create table public.document_texts (
  organization_id uuid not null,
  sha256 text not null,
  -- ISO 639-1; null where it cannot be told.
  language text check (length(language) = 2),
  title text,
  pages int not null check (pages >= 0),
  tokens int not null check (tokens >= 0),
  chunk_count int not null check (chunk_count >= 0),
  -- Those that are searched: chunks that have no parts.
  searched_count int not null check (searched_count between 0 and chunk_count),
  outline jsonb not null,
  warnings jsonb not null,
  created_at timestamptz not null default now(),
  primary key (organization_id, sha256),
  foreign key (organization_id, sha256) references public.blobs on delete cascade
);

create table public.chunks (
  -- Made of the three columns below, so that the same content has the same ids whenever it is read.
  id uuid primary key,
  organization_id uuid not null,
  sha256 text not null,
  position int not null check (position >= 0),
  -- The position of the larger chunk that it is a part of.
  parent_position int check (parent_position >= 0),
  heading_path text[] not null,
  page_first int check (page_first >= 1),
  page_last int check (page_last >= page_first),
  text text not null check (text <> ''),
  tokens int not null check (tokens >= 0),
  -- Words of headings have weight A, words of the text D; null: its parts are searched.
  search tsvector,
  unique (organization_id, sha256, position),
  foreign key (organization_id, sha256) references public.document_texts on delete cascade
);
-- Without the pending list, which every search would have to read from end to end.
create index chunks_search on public.chunks using gin (search) with (fastupdate = off);

create table public.chunk_embeddings (
  chunk_id uuid not null references public.chunks on delete cascade,
  -- Vectors of different models are never compared.
  model text not null check (length(model) between 1 and 255),
  organization_id uuid not null,
  sha256 text not null,
  -- Half-precision numbers (IEEE 754 binary16), little-endian.
  vector bytea not null check (length(vector) > 0 and length(vector) % 2 = 0),
  primary key (chunk_id, model)
);
-- 1024 half-precision numbers stay in the row, so that reading a course's vectors reads pages in their order. They do not
-- compress.
alter table public.chunk_embeddings alter column vector set storage external;
alter table public.chunk_embeddings set (toast_tuple_target = 4080);
create index chunk_embeddings_content on public.chunk_embeddings (organization_id, sha256, model);

-- How many chunks of a content an index has: a model's name, or `qdrant:` and what is there.
create table public.indexed_texts (
  organization_id uuid not null,
  sha256 text not null,
  index_name text not null check (length(index_name) between 1 and 255),
  chunk_count int not null default 0 check (chunk_count >= 0),
  -- While somebody brings it up to date: until when nobody else does.
  claimed_until timestamptz,
  primary key (organization_id, sha256, index_name),
  foreign key (organization_id, sha256) references public.document_texts on delete cascade
);

create table public.document_summaries (
  organization_id uuid not null,
  sha256 text not null,
  text text not null check (text <> ''),
  tokens int not null check (tokens >= 0),
  -- `verbatim`: the document is short and stands for itself; `extract`: its most central sentences, without a model.
  method text not null check (method in ('verbatim', 'model', 'extract')),
  model text check ((method = 'model') = (model is not null)),
  -- The share of the document that the summary speaks of, by embeddings.
  coverage double precision check (coverage between 0 and 1),
  created_at timestamptz not null default now(),
  primary key (organization_id, sha256),
  foreign key (organization_id, sha256) references public.document_texts on delete cascade
);

-- Contents that are gone here and may still be in a second index: an outbox, which no transaction can include.
create table public.removed_texts (
  organization_id uuid not null,
  sha256 text not null,
  removed_at timestamptz not null default now(),
  primary key (organization_id, sha256)
);

create function app.note_removed_text() returns trigger language plpgsql
  security definer set search_path = '' as $$
begin
  insert into public.removed_texts (organization_id, sha256)
  select distinct i.organization_id, i.sha256 from public.indexed_texts as i
  where i.organization_id = old.organization_id and i.sha256 = old.sha256 and i.index_name like 'qdrant:%'
  on conflict do nothing;
  return old;
end $$;
create trigger document_texts_note before delete on public.document_texts
  for each row execute function app.note_removed_text();

-- The configuration of text search for a language: its stemmer where PostgreSQL has one. That for Russian stems words in
-- Latin letters as English ones, so it serves both, and texts that mix them.
create function app.text_configuration(language text) returns regconfig language sql immutable parallel safe as $$
  select case coalesce(language, 'ru')
    when 'ru' then 'pg_catalog.russian' when 'en' then 'pg_catalog.russian' when 'es' then 'pg_catalog.spanish'
    when 'fr' then 'pg_catalog.french' when 'de' then 'pg_catalog.german' when 'pt' then 'pg_catalog.portuguese'
    when 'it' then 'pg_catalog.italian' when 'tr' then 'pg_catalog.turkish' when 'ar' then 'pg_catalog.arabic'
    when 'id' then 'pg_catalog.indonesian' when 'hi' then 'pg_catalog.hindi' else 'pg_catalog.simple'
  end::regconfig
$$;

-- Words of a text as they are searched. PostgreSQL refuses vectors of more than 1 MB: of longer texts, tables above all,
-- the first 200 000 characters are searched.
create function app.words_of(language text, words text) returns tsvector language sql immutable parallel safe as $$
  select to_tsvector(app.text_configuration(language), translate(left(words, 200000), 'ёЁ', 'еЕ'))
$$;

do $$
declare name text;
begin
  foreach name in array array[
    'document_texts', 'chunks', 'chunk_embeddings', 'indexed_texts', 'document_summaries', 'removed_texts'
  ] loop
    execute format('revoke all on table public.%I from public, anon, authenticated', name);
    execute format('alter table public.%I enable row level security', name);
    execute format('alter table public.%I force row level security', name);
    execute format('create policy service_all on public.%I to service_role using (true) with check (true)', name);
    execute format('grant select, insert, update, delete on public.%I to service_role', name);
  end loop;
  -- Whoever sees a document sees what was read out of it.
  foreach name in array array[
    'document_texts', 'chunks', 'chunk_embeddings', 'indexed_texts', 'document_summaries'
  ] loop
    execute format($policy$
      create policy with_document_read on public.%I for select to authenticated
        using (organization_id = any (array(select app.visible_organizations()))
               and (organization_id, sha256) in (select d.organization_id, d.sha256 from public.documents as d))
    $policy$, name);
    execute format('grant select on public.%I to authenticated', name);
  end loop;
end $$;

alter function app.note_removed_text() owner to service_role;
revoke all on function app.note_removed_text(), app.text_configuration(text), app.words_of(text, text)
  from public, anon, authenticated;
grant execute on function app.note_removed_text(), app.text_configuration(text), app.words_of(text, text)
  to service_role;
revoke create on schema app, public from service_role;
