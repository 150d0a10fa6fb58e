-- What models answered: checkpoints, the call log, and events (data model 2.2, generation 3.1, service 4.7).

create table public.checkpoints (
  generation_id uuid not null references public.generations on delete cascade,
  stage text not null,
  phase text not null,
  batch int not null,
  -- SHA-256 of the prompt, hexadecimal: another prompt is another piece of work.
  prompt_hash text not null,
  course_id uuid not null references public.courses on delete cascade,
  organization_id uuid not null references public.organizations on delete cascade,
  output jsonb not null,
  model text not null,
  input_tokens bigint not null default 0,
  output_tokens bigint not null default 0,
  cost_usd_micros bigint not null default 0,
  created_at timestamptz not null default now(),
  primary key (generation_id, stage, phase, batch, prompt_hash)
);
create index checkpoints_course on public.checkpoints (course_id);
create index checkpoints_organization on public.checkpoints (organization_id);

create table public.model_calls (
  id uuid primary key,
  generation_id uuid not null references public.generations on delete cascade,
  course_id uuid not null references public.courses on delete cascade,
  organization_id uuid not null references public.organizations on delete cascade,
  stage text not null,
  phase text not null,
  batch int not null,
  -- 1 is the first.
  attempt int not null check (attempt >= 1),
  model text not null,
  provider text not null,
  -- The provider behind the provider, where it says.
  upstream text,
  -- Why this model was called (generation 3.3).
  route_reason text not null,
  prompt_hash text not null,
  prompt_tokens bigint not null default 0,
  completion_tokens bigint not null default 0,
  cost_usd_micros bigint not null default 0,
  latency_ms bigint not null default 0,
  finish_reason text,
  -- The layer of JSON repair that was needed; 0 is none, null for calls without an answer.
  repair_layer smallint,
  -- `accepted`, or why the answer was not used.
  outcome text not null,
  error text,
  -- The answer of a call that was not accepted, kept for inspection.
  raw_output text,
  created_at timestamptz not null default now()
);
create index model_calls_generation on public.model_calls (generation_id, created_at);
create index model_calls_course on public.model_calls (course_id);
create index model_calls_organization on public.model_calls (organization_id, created_at desc);

create table public.system_metrics (
  id bigint generated always as identity primary key,
  event_type text not null check (event_type in (
    'job_rollback', 'orphaned_job_recovery', 'concurrency_limit_hit', 'worker_timeout', 'retry_exhausted',
    'duplicate_job_detected', 'quality_low', 'token_budget_warning', 'model_fallback', 'cost_overrun',
    'provider_down', 'superadmin_action')),
  severity text not null check (severity in ('info', 'warn', 'error', 'fatal')),
  -- Events outlive what they tell of, so nothing is referenced.
  user_id uuid,
  organization_id uuid,
  course_id uuid,
  job_id uuid,
  metadata jsonb not null default '{}',
  at timestamptz not null default now()
);
create index system_metrics_organization on public.system_metrics (organization_id, at desc);
create index system_metrics_at on public.system_metrics (at desc);
