-- The rights of the API's roles are exactly those below, whatever the server gives to new tables by itself: Supabase
-- grants everything in `public` to them by default privileges. A later migration that makes a table takes those back
-- likewise; the test `default_privileges_of_a_server_give_nothing` looks.

grant create on schema app, public to service_role;

do $$
declare
  ours text[] := array[
    'tier_settings', 'organizations', 'users', 'courses', 'generations', 'course_versions', 'lesson_contents',
    'workers', 'jobs', 'checkpoints', 'model_calls', 'system_metrics', 'generation_transitions',
    'generation_status_history', 'credentials', 'sessions', 'refresh_tokens', 'api_keys', 'generation_slots',
    'generation_events', 'audit_log', 'blobs', 'documents', 'upload_reservations', 'removed_files', 'webhook_secrets',
    'webhook_endpoints', 'webhook_deliveries', 'installation_secrets', 'admin_generation_dashboard',
    -- What records these migrations. Whoever could write there could undo or repeat them.
    '_sqlx_migrations'];
  name text;
  sequence regclass;
begin
  foreach name in array ours loop
    if to_regclass(format('public.%I', name)) is not null then
      execute format('revoke all on table public.%I from public, anon, authenticated', name);
    end if;
  end loop;
  if to_regclass('public._sqlx_migrations') is not null then
    revoke all on table public._sqlx_migrations from service_role;
  end if;
  for sequence in
    select d.objid::regclass from pg_depend as d
    join pg_class as s on s.oid = d.objid and s.relkind = 'S'
    join pg_class as t on t.oid = d.refobjid
    where d.deptype in ('a', 'i') and t.relnamespace = 'public'::regnamespace and t.relname = any (ours)
  loop
    execute format('revoke all on sequence %s from public, anon, authenticated', sequence);
  end loop;
end $$;
revoke all on sequence public.jobs_position from public, anon, authenticated;
revoke all on all functions in schema app from public, anon, authenticated;
revoke all on function public.update_course_progress(uuid, int, text, text, text, jsonb, jsonb),
  public.get_generation_summary(uuid) from public, anon, authenticated;

-- Reading; row-level security says which rows.
grant select on public.tier_settings, public.organizations, public.users, public.courses, public.generations,
  public.course_versions, public.lesson_contents, public.jobs, public.checkpoints, public.model_calls,
  public.system_metrics, public.generation_transitions, public.generation_status_history, public.generation_events,
  public.audit_log, public.documents, public.webhook_secrets, public.webhook_endpoints, public.webhook_deliveries,
  public.admin_generation_dashboard to authenticated;
grant select (id, organization_id, user_id, name, prefix, scopes, created_at, expires_at, last_used_at, revoked_at)
  on public.api_keys to authenticated;

-- Writing, column by column.
grant insert (id, organization_id, owner_id, slug, title, language, style, target_audience, desired_lessons_count,
  desired_modules_count, lesson_duration_minutes, learning_outcomes, content_strategy, review, budget_usd_micros)
  on public.courses to authenticated;
grant update (slug, title, language, style, target_audience, desired_lessons_count, desired_modules_count,
  lesson_duration_minutes, learning_outcomes, content_strategy, review, budget_usd_micros, status)
  on public.courses to authenticated;
grant delete on public.courses to authenticated;
grant update (priority, concurrent_generations, max_file_bytes, max_files_per_course, storage_bytes, formats,
  generation_budget_usd_micros, trial_days) on public.tier_settings to authenticated;
grant update (role) on public.users to authenticated;
grant insert (id, organization_id, user_id, name, prefix, key_hash, scopes, expires_at) on public.api_keys to authenticated;
grant update (revoked_at) on public.api_keys to authenticated;
grant insert (id, organization_id, url, events) on public.webhook_endpoints to authenticated;
grant delete on public.webhook_endpoints to authenticated;

grant execute on function app.claim_role(), app.claim_organization(), app.visible_organizations(),
  app.stuck_after(), app.new_progress(boolean), app.touch_updated_at(), app.guard_new_generation_status(),
  app.raise_revision(), app.record_audit(uuid, text, text, jsonb), app.new_webhook_secret(),
  public.get_generation_summary(uuid) to authenticated;

-- A key may be ended, by its person and by admins of its organization, and is otherwise what it was made as.
drop policy own_or_admin_update on public.api_keys;
create policy own_or_admin_update on public.api_keys for update to authenticated
  using (organization_id = any (array(select app.visible_organizations()))
         and (user_id = (select auth.uid()) or (select app.claim_role()) in ('admin', 'superadmin')))
  with check (organization_id = any (array(select app.visible_organizations()))
         and (user_id = (select auth.uid()) or (select app.claim_role()) in ('admin', 'superadmin'))
         and revoked_at is not null);

create function app.guard_api_key() returns trigger language plpgsql as $$
begin
  raise exception 'a key cannot be changed, only ended' using errcode = 'insufficient_privilege';
end $$;
create trigger api_keys_guard before update on public.api_keys
  for each row when (
    (old.id, old.organization_id, old.user_id, old.key_hash, old.scopes, old.expires_at)
      is distinct from (new.id, new.organization_id, new.user_id, new.key_hash, new.scopes, new.expires_at)
    or old.revoked_at is not null and new.revoked_at is distinct from old.revoked_at)
  execute function app.guard_api_key();

-- As before, and only a course's own generation follows it.
create or replace function app.record_generation_status() returns trigger language plpgsql
  security definer set search_path = '' as $$
begin
  if new.generation_status is not distinct from old.generation_status then
    return null;
  end if;
  insert into public.generation_status_history
    (course_id, organization_id, generation_id, old_status, new_status, actor_id, source, metadata)
  values (
    new.id, new.organization_id, new.current_generation_id, old.generation_status, new.generation_status,
    coalesce(nullif(current_setting('app.actor', true), '')::uuid, auth.uid()),
    coalesce(nullif(current_setting('app.source', true), ''), 'system'),
    coalesce(nullif(current_setting('app.status_metadata', true), '')::jsonb, '{}'));
  update public.generations as g set
    status = new.generation_status,
    started_at = case when new.generation_status not in ('pending', 'initializing', 'failed', 'cancelled')
                      then coalesce(g.started_at, now()) else g.started_at end,
    finished_at = case when new.generation_status in ('completed', 'failed', 'cancelled') then now() end
  where g.id = new.current_generation_id and g.course_id = new.id
    and (g.status <> new.generation_status or g.finished_at is not null);
  return null;
end $$;

create or replace function app.record_generation_event() returns trigger language plpgsql
  security definer set search_path = '' as $$
declare
  course uuid;
begin
  if tg_table_name = 'courses' then
    course := new.id;
  else
    course := new.course_id;
  end if;
  if current_setting('app.event_recorded', true) = course::text then
    return null;
  end if;
  perform set_config('app.event_recorded', course::text, true);
  insert into public.generation_events (course_id, generation_id, organization_id, payload)
  select c.id, g.id, c.organization_id,
    jsonb_build_object('status', c.generation_status, 'progress', c.generation_progress, 'metadata', g.progress_metadata)
  from public.courses as c join public.generations as g on g.id = c.current_generation_id and g.course_id = c.id
  where c.id = course;
  return null;
end $$;

-- As before, and only a superadmin or the program writes into the log of another organization than its own.
create or replace function app.record_audit(organization uuid, action text, target text, details jsonb) returns bigint
  language sql security definer set search_path = '' as $$
  insert into public.audit_log (actor_id, actor_role, organization_id, action, target, details)
  values (auth.uid(), coalesce(app.claim_role(), 'system'),
          coalesce(case when coalesce(app.claim_role(), 'superadmin') = 'superadmin' then organization end,
                   app.claim_organization()),
          action, left(target, 500), coalesce(details, '{}'))
  returning id
$$;

revoke execute on function app.guard_api_key() from public;
grant execute on function app.guard_api_key() to service_role;
revoke create on schema app, public from service_role;
