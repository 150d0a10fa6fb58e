-- Going on with what failed is a new round of its generation: its attempts have keys of their own, and what earlier rounds
-- accepted stays (generation 3.4). A lesson that could not be written keeps the reason.

alter table public.generations add column round int not null default 0 check (round >= 0);

alter table public.lesson_contents add column failure text;
