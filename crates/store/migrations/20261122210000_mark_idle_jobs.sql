-- Since when a job has worked without saving anything: since its last checkpoint, or since it was first claimed. Moved on
-- by the time that it waited in line. Losses of workers count only if nothing was saved.
alter table public.jobs add column idle_since timestamptz;
