-- What refers to a row that somebody is removing waits until the removal stands, and then does without it. Without the
-- locks, the reference would fail after the removal, and a generation with it.

create or replace function app.send_webhooks() returns trigger language plpgsql
  security definer set search_path = '' as $$
declare
  happened text := 'generation.' || new.new_status;
  event jsonb;
  address text;
  target record;
begin
  select g.webhook_url, jsonb_build_object('type', happened,
      'timestamp', to_char(new.at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
      'data', jsonb_build_object('courseId', c.id, 'generationId', g.id, 'status', new.new_status, 'title', c.title,
          'slug', c.slug)
        || case when new.new_status = 'failed' and g.error_code is not null
           then jsonb_build_object('error', jsonb_build_object('code', g.error_code, 'message', g.error_message))
           else '{}'::jsonb end)
  into address, event
  from public.courses as c join public.generations as g on g.id = new.generation_id
  where c.id = new.course_id;
  if event is null then
    return null;
  end if;
  if address is not null then
    insert into public.webhook_deliveries
      (organization_id, endpoint_id, course_id, generation_id, url, event_type, payload)
    values (new.organization_id, null, new.course_id, new.generation_id, address, happened, event);
  end if;
  for target in
    select e.id, e.url from public.webhook_endpoints as e
    where e.organization_id = new.organization_id and e.is_active
      and (e.events = '{}' or happened = any (e.events))
    order by e.id for key share
  loop
    insert into public.webhook_deliveries
      (organization_id, endpoint_id, course_id, generation_id, url, event_type, payload)
    values (new.organization_id, target.id, new.course_id, new.generation_id, target.url, happened, event);
  end loop;
  return null;
end $$;

create or replace function app.keep_known_citations() returns trigger language plpgsql
  security definer set search_path = '' as $$
declare
  unknown jsonb;
begin
  perform from public.documents as d
  where d.course_id = new.course_id and exists (
    select from app.cited_in(new.content) as c
    join public.chunks as k on k.id = c.chunk_id
    where k.organization_id = d.organization_id and k.sha256 = d.sha256)
  order by d.id for key share;
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
