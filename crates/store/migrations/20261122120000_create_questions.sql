-- Questions that authors ask of their documents: what they took, so that nobody asks without limit. What was asked is
-- not kept.

create table public.questions (
  id uuid primary key,
  organization_id uuid not null references public.organizations on delete cascade,
  user_id uuid not null references public.users on delete cascade,
  course_id uuid references public.courses on delete set null,
  -- Null: no model was asked, or it has not answered yet.
  model text,
  input_tokens bigint not null default 0 check (input_tokens >= 0),
  output_tokens bigint not null default 0 check (output_tokens >= 0),
  cost_usd_micros bigint not null default 0 check (cost_usd_micros >= 0),
  asked_at timestamptz not null default now()
);
create index questions_user on public.questions (user_id, asked_at);
create index questions_organization on public.questions (organization_id);
create index questions_course on public.questions (course_id);

revoke all on table public.questions from public, anon, authenticated;
alter table public.questions enable row level security;
alter table public.questions force row level security;
create policy service_all on public.questions to service_role using (true) with check (true);
create policy own_or_admin_read on public.questions for select to authenticated
  using (organization_id = any (array(select app.visible_organizations()))
         and ((select app.claim_role()) in ('admin', 'superadmin') or user_id = (select auth.uid())));
grant select on public.questions to authenticated;
grant select, insert, update, delete on public.questions to service_role;
