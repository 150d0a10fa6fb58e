-- Who may see and change which rows (service 4.6). Claims are read once a statement, never once a row:
-- every policy wraps them in a scalar or array subquery.

-- The organizations whose rows the caller may read: all for a superadmin, else the one in the claims.
create function app.visible_organizations() returns setof uuid language sql stable
  security definer set search_path = '' as $$
  select id from public.organizations where app.claim_role() = 'superadmin'
  union all
  select app.claim_organization()
  where app.claim_role() in ('student', 'instructor', 'admin') and app.claim_organization() is not null
$$;

do $$
declare name text;
begin
  foreach name in array array[
    'tier_settings', 'organizations', 'users', 'courses', 'generations', 'course_versions', 'lesson_contents',
    'workers', 'jobs', 'checkpoints', 'model_calls', 'system_metrics', 'generation_transitions',
    'generation_status_history'
  ] loop
    execute format('alter table public.%I enable row level security', name);
    execute format('alter table public.%I force row level security', name);
    -- Only Supabase gives service_role BYPASSRLS; this does the same elsewhere.
    execute format('create policy service_all on public.%I to service_role using (true) with check (true)', name);
    execute format('grant select, insert, update, delete on public.%I to service_role', name);
  end loop;
end $$;
grant usage on all sequences in schema public to service_role;

-- Reading.

create policy settings_read on public.tier_settings for select to authenticated using (true);
create policy transitions_read on public.generation_transitions for select to authenticated using (true);

create policy organization_read on public.organizations for select to authenticated
  using (id = any (array(select app.visible_organizations())));

create policy self_or_admin_read on public.users for select to authenticated
  using (organization_id = any (array(select app.visible_organizations()))
         and (id = (select auth.uid()) or (select app.claim_role()) in ('admin', 'superadmin')));

create policy published_own_or_admin_read on public.courses for select to authenticated
  using (organization_id = any (array(select app.visible_organizations()))
         and (status = 'published'
              or owner_id = (select auth.uid()) and (select app.claim_role()) <> 'student'
              or (select app.claim_role()) in ('admin', 'superadmin')));

-- Lesson contents are read by whoever reads the course.
create policy with_course_read on public.lesson_contents for select to authenticated
  using (organization_id = any (array(select app.visible_organizations()))
         and course_id in (select c.id from public.courses c));

-- The workings behind a course are for its owner and for admins.
do $$
declare name text;
begin
  foreach name in array array[
    'generations', 'course_versions', 'jobs', 'checkpoints', 'model_calls', 'generation_status_history'
  ] loop
    execute format($policy$
      create policy owner_or_admin_read on public.%I for select to authenticated
        using (organization_id = any (array(select app.visible_organizations()))
               and ((select app.claim_role()) in ('admin', 'superadmin')
                    or (select app.claim_role()) = 'instructor'
                       and course_id in (select c.id from public.courses c where c.owner_id = (select auth.uid()))))
    $policy$, name);
  end loop;
end $$;

create policy admin_read on public.system_metrics for select to authenticated
  using ((select app.claim_role()) = 'superadmin'
         or (select app.claim_role()) = 'admin' and organization_id = (select app.claim_organization()));

-- Writing: one policy a command, because FOR ALL would widen every SELECT. Generation columns, jobs and what models
-- answered are written by service_role alone.

create policy own_insert on public.courses for insert to authenticated
  with check (organization_id = (select app.claim_organization()) and owner_id = (select auth.uid())
              and (select app.claim_role()) in ('instructor', 'admin', 'superadmin'));
create policy own_update on public.courses for update to authenticated
  using (organization_id = (select app.claim_organization()) and owner_id = (select auth.uid())
         and (select app.claim_role()) in ('instructor', 'admin', 'superadmin'))
  with check (organization_id = (select app.claim_organization()) and owner_id = (select auth.uid()));
create policy own_delete on public.courses for delete to authenticated
  using (organization_id = (select app.claim_organization()) and owner_id = (select auth.uid())
         and (select app.claim_role()) in ('instructor', 'admin', 'superadmin'));
create policy superadmin_update on public.tier_settings for update to authenticated
  using ((select app.claim_role()) = 'superadmin') with check ((select app.claim_role()) = 'superadmin');

grant select on public.tier_settings, public.organizations, public.users, public.courses, public.generations,
  public.course_versions, public.lesson_contents, public.jobs, public.checkpoints, public.model_calls,
  public.system_metrics, public.generation_transitions, public.generation_status_history,
  public.admin_generation_dashboard to authenticated;
grant select on public.admin_generation_dashboard to service_role;
grant delete on public.courses to authenticated;
grant insert (id, organization_id, owner_id, slug, title, language, style, target_audience, desired_lessons_count,
  desired_modules_count, lesson_duration_minutes, learning_outcomes, content_strategy, review, budget_usd_micros)
  on public.courses to authenticated;
grant update (slug, title, language, style, target_audience, desired_lessons_count, desired_modules_count,
  lesson_duration_minutes, learning_outcomes, content_strategy, review, budget_usd_micros, status)
  on public.courses to authenticated;
grant update (priority, concurrent_generations, max_file_bytes, max_files_per_course, storage_bytes, formats,
  generation_budget_usd_micros, trial_days) on public.tier_settings to authenticated;

-- Functions: nobody by default.
revoke execute on all functions in schema app from public;
revoke execute on function public.update_course_progress(uuid, int, text, text, text, jsonb, jsonb) from public;
revoke execute on function public.get_generation_summary(uuid) from public;
grant execute on all functions in schema app to service_role;
grant execute on function public.update_course_progress(uuid, int, text, text, text, jsonb, jsonb) to service_role;
grant execute on function app.claim_role(), app.claim_organization(), app.visible_organizations(),
  app.stuck_after(), app.new_progress(boolean), app.touch_updated_at(), app.guard_new_generation_status()
  to authenticated;
grant execute on function public.get_generation_summary(uuid) to authenticated, service_role;

-- What runs with its owner's rights belongs to service_role: row-level security is forced for the tables' owner too.
alter function app.visible_organizations() owner to service_role;
alter function app.guard_generation_status() owner to service_role;
alter function app.record_generation_status() owner to service_role;
grant execute on function app.visible_organizations() to authenticated;
revoke create on schema app, public from service_role;
