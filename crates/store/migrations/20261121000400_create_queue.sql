-- The queue: one row a job, claimed with FOR UPDATE SKIP LOCKED (service 4.5).

create table public.workers (
  id uuid primary key,
  host text not null,
  -- Boot and process namespace: within one, a process number tells whether the worker lives. Null where unknown.
  machine text,
  process int not null,
  -- The process's start, so that a number given away again is not mistaken for the worker.
  process_started text,
  started_at timestamptz not null default now(),
  last_seen timestamptz not null default now()
);

-- Places in line: a generation keeps its place over all its stages.
create sequence public.jobs_position;

create table public.jobs (
  id uuid primary key,
  organization_id uuid not null references public.organizations on delete cascade,
  user_id uuid not null references public.users on delete cascade,
  course_id uuid not null references public.courses on delete cascade,
  generation_id uuid not null references public.generations on delete cascade,
  stage text not null
    check (stage in ('document_processing', 'analysis', 'structure', 'content', 'finalization')),
  priority smallint not null,
  position bigint not null default nextval('public.jobs_position'),
  state text not null default 'pending' check (state in ('pending', 'running', 'succeeded', 'dead', 'cancelled')),
  attempt int not null default 0,
  max_attempts int not null default 3,
  run_at timestamptz not null default now(),
  worker_id uuid,
  lease_until timestamptz,
  cancel_requested boolean not null default false,
  last_error text,
  created_at timestamptz not null default now(),
  started_at timestamptz,
  finished_at timestamptz,
  check ((state = 'running') = (lease_until is not null)),
  check ((state = 'running') = (worker_id is not null))
);
create index jobs_ready on public.jobs (priority desc, position, id) where state = 'pending';
create index jobs_leased on public.jobs (lease_until) where state = 'running';
create index jobs_of_worker on public.jobs (worker_id) where state = 'running';
create index jobs_finished on public.jobs (finished_at) where state in ('succeeded', 'dead', 'cancelled');
create index jobs_generation on public.jobs (generation_id, created_at);
create index jobs_organization on public.jobs (organization_id, created_at desc);
create index jobs_course on public.jobs (course_id);
create index jobs_user on public.jobs (user_id);
-- At most one job that waits or runs a course.
create unique index jobs_one_active_per_course on public.jobs (course_id) where state in ('pending', 'running');
