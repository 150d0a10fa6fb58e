-- Courses, their generations, versions and lesson contents (data model 2.0 to 2.8).

-- The progress of a course that was never generated (data model 2.7). The names are stored in Russian.
create function app.new_progress(has_documents boolean default false) returns jsonb language sql immutable as $$
  select jsonb_build_object(
    'steps', (
      select jsonb_agg(jsonb_build_object('id', step.id, 'name', step.name, 'status', 'pending', 'started_at', null,
                                          'completed_at', null, 'error', null, 'error_details', null) order by step.id)
      from (values
        (1, 'Запуск генерации'),
        (2, case when has_documents then 'Обработка документов' else 'Анализ задачи' end),
        (3, 'Генерация структуры'),
        (4, 'Создание контента'),
        (5, 'Финализация')) as step (id, name)),
    'percentage', 0, 'current_step', 1, 'message', '', 'total_steps', 5, 'has_documents', has_documents,
    'lessons_completed', 0, 'lessons_total', 0)
$$;

create table public.courses (
  id uuid primary key,
  organization_id uuid not null references public.organizations on delete cascade,
  owner_id uuid not null,
  slug text not null check (length(slug) between 1 and 200),
  -- Inputs (2.0); the program's types own the finer limits.
  title text not null check (length(title) between 1 and 1000),
  language text not null,
  style text not null,
  target_audience text,
  desired_lessons_count int check (desired_lessons_count between 10 and 1000),
  desired_modules_count int check (desired_modules_count between 1 and 200),
  lesson_duration_minutes int check (lesson_duration_minutes between 3 and 45),
  learning_outcomes text[] not null default '{}' check (cardinality(learning_outcomes) <= 15),
  content_strategy text not null default 'auto'
    check (content_strategy in ('auto', 'create_from_scratch', 'expand_and_enhance', 'optimize_existing')),
  review boolean not null default false,
  budget_usd_micros bigint not null default 1000000 check (budget_usd_micros > 0),
  -- Results.
  analysis_result jsonb,
  course_structure jsonb,
  generation_metadata jsonb,
  quality_report jsonb,
  generation_progress jsonb not null default app.new_progress(),
  generation_status text check (generation_status in (
    'pending', 'initializing', 'processing_documents', 'analyzing_task', 'generating_structure', 'awaiting_review',
    'generating_content', 'finalizing', 'completed', 'failed', 'cancelled')),
  current_generation_id uuid,
  -- Publication, apart from generation.
  status text not null default 'draft' check (status in ('draft', 'published', 'archived')),
  -- Number of saved structures: optimistic concurrency.
  version int not null default 0,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  unique (organization_id, slug),
  -- Nobody owns a course of an organization that is not theirs, whatever their token says.
  foreign key (organization_id, owner_id) references public.users (organization_id, id) on delete cascade
);
create index courses_owner on public.courses (owner_id, created_at desc);
create index courses_organization on public.courses (organization_id, created_at desc);
create index courses_generation_status on public.courses (generation_status, updated_at);

create table public.generations (
  id uuid primary key,
  course_id uuid not null references public.courses on delete cascade,
  organization_id uuid not null references public.organizations on delete cascade,
  user_id uuid not null references public.users on delete cascade,
  -- Follows courses.generation_status while this is the course's current generation.
  status text not null default 'pending',
  budget_usd_micros bigint not null check (budget_usd_micros > 0),
  seed bigint not null,
  options jsonb not null default '{}',
  -- What front ends show beside the progress: batches, current model, scores.
  progress_metadata jsonb not null default '{}',
  idempotency_key text,
  cancel_requested boolean not null default false,
  error_code text,
  error_message text,
  error_details jsonb,
  created_at timestamptz not null default now(),
  started_at timestamptz,
  finished_at timestamptz
);
create index generations_course on public.generations (course_id, created_at desc);
create index generations_organization on public.generations (organization_id, created_at desc);
create unique index generations_idempotency on public.generations (course_id, idempotency_key)
  where idempotency_key is not null;
-- At most one active generation a course.
create unique index generations_one_active on public.generations (course_id)
  where status not in ('completed', 'failed', 'cancelled');
create index generations_active_of_user on public.generations (user_id)
  where status not in ('completed', 'failed', 'cancelled');

alter table public.courses
  add constraint courses_current_generation foreign key (current_generation_id)
  references public.generations on delete set null deferrable initially deferred;
create index courses_current_generation on public.courses (current_generation_id);

create table public.course_versions (
  id uuid primary key,
  course_id uuid not null references public.courses on delete cascade,
  organization_id uuid not null references public.organizations on delete cascade,
  version int not null,
  course_structure jsonb not null,
  cause text not null check (length(cause) between 1 and 500),
  -- Absent for what the program made by itself, and for people who are gone.
  author_id uuid references public.users on delete set null,
  generation_id uuid references public.generations on delete set null,
  created_at timestamptz not null default now(),
  unique (course_id, version)
);
create index course_versions_organization on public.course_versions (organization_id);
create index course_versions_author on public.course_versions (author_id);
create index course_versions_generation on public.course_versions (generation_id);

create table public.lesson_contents (
  id uuid primary key,
  course_id uuid not null references public.courses on delete cascade,
  organization_id uuid not null references public.organizations on delete cascade,
  generation_id uuid references public.generations on delete set null,
  lesson_number int not null check (lesson_number >= 1),
  status text not null default 'pending'
    check (status in ('pending', 'generating', 'completed', 'needs_review', 'failed')),
  content jsonb,
  quality jsonb,
  word_count int not null default 0,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  unique (course_id, lesson_number),
  check (status not in ('completed', 'needs_review') or content is not null)
);
create index lesson_contents_organization on public.lesson_contents (organization_id);
create index lesson_contents_generation on public.lesson_contents (generation_id);

create trigger courses_touch before update on public.courses
  for each row execute function app.touch_updated_at();
create trigger lesson_contents_touch before update on public.lesson_contents
  for each row execute function app.touch_updated_at();
