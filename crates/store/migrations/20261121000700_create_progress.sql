-- The progress that front ends read, and the one function that writes it (data model 2.7).

-- Moves a course forward to `target`, through the states in between, so that history has no gaps.
-- A target behind the present state, and an ended generation, are left as they are. The course's row is locked.
create function app.advance_generation_status(course uuid, target text, has_documents boolean)
returns void language plpgsql as $$
declare
  current text;
  line text[] := case when has_documents
    then array['pending', 'initializing', 'processing_documents', 'analyzing_task', 'generating_structure']
    else array['pending', 'initializing', 'analyzing_task', 'generating_structure'] end
    -- Review is a stop on the line only for those who ask for it.
    || case when target = 'awaiting_review' then array['awaiting_review'] else '{}'::text[] end
    || array['generating_content', 'finalizing', 'completed'];
  place int;
  goal int := array_position(line, target);
begin
  select generation_status into current from courses where id = course for update;
  if target is not distinct from current or current in ('completed', 'failed', 'cancelled') then
    return;
  end if;
  if target in ('failed', 'cancelled') then
    if current is not null then
      update courses set generation_status = target where id = course;
    end if;
    return;
  end if;
  place := case current
    when 'awaiting_review' then array_position(line, 'generating_content') - 1
    when 'processing_documents' then array_position(line, 'analyzing_task') - 1
    else coalesce(array_position(line, current), 0) end;
  while place < goal loop
    place := place + 1;
    update courses set generation_status = line[place] where id = course;
  end loop;
end $$;

-- One step of a progress with its new state; what is done stays done.
create function app.step_after(step jsonb, to_status text, error_message text, error_details jsonb, at text)
returns jsonb language sql immutable as $$
  select case
    when step ->> 'status' = 'completed' then step
    when to_status = 'pending' and step ->> 'status' <> 'pending' then step
    when to_status = 'in_progress' then step || jsonb_build_object(
      'status', to_status, 'started_at', coalesce(step ->> 'started_at', at), 'error', null, 'error_details', null)
    when to_status = 'completed' then step || jsonb_build_object(
      'status', to_status, 'started_at', coalesce(step ->> 'started_at', at), 'completed_at', at,
      'error', null, 'error_details', null)
    when to_status = 'failed' then step || jsonb_build_object(
      'status', to_status, 'started_at', coalesce(step ->> 'started_at', at),
      'error', coalesce(error_message, step ->> 'error'),
      'error_details', coalesce(error_details, nullif(step -> 'error_details', 'null'::jsonb)))
    else step end
$$;

-- How far a step is, 0 to 100 over the whole generation. Under way it begins at its middle; batches and lessons
-- that are done bring it nearer to its end, which only its completion reaches.
create function app.step_percentage(step_id int, to_status text, metadata jsonb) returns int language sql immutable as $$
  select case to_status
    when 'completed' then 20 * step_id
    when 'in_progress' then 20 * (step_id - 1) + 10 + case
      when step_id in (3, 4) and units.total > 0
        then least(9, floor(10.0 * least(units.done, units.total) / units.total)::int)
      else 0 end
    else 0 end
  from (select
    greatest(coalesce(case step_id when 3 then (metadata ->> 'batches_completed')::numeric
                                   when 4 then (metadata ->> 'lessons_completed')::numeric end, 0), 0) as done,
    coalesce(case step_id when 3 then (metadata ->> 'total_batches')::numeric
                          when 4 then (metadata ->> 'lessons_total')::numeric end, 0) as total) as units
$$;

create function public.update_course_progress(
  course_id uuid, step_id int, status text, message text,
  error_message text default null, error_details jsonb default null, metadata jsonb default '{}'
) returns jsonb language plpgsql as $$
#variable_conflict use_variable
declare
  course record;
  progress jsonb;
  at text := to_char(clock_timestamp() at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"');
  facts jsonb := coalesce(metadata, '{}');
  with_documents boolean;
  is_late boolean;
  target text;
begin
  if step_id is null or step_id not between 1 and 5 then
    raise exception 'step % does not exist: steps are 1 to 5', coalesce(step_id::text, 'NULL') using errcode = '22023';
  end if;
  if status is null or status not in ('pending', 'in_progress', 'completed', 'failed') then
    raise exception 'step status % does not exist: pending, in_progress, completed, failed',
      coalesce(status, 'NULL') using errcode = '22023';
  end if;
  -- One writer at a time: what is read here is what is built upon.
  select c.generation_status, c.generation_progress, c.current_generation_id into course
  from courses as c where c.id = course_id for update;
  if not found then
    return null;
  end if;
  progress := case when course.generation_progress ? 'steps' then course.generation_progress
                   else app.new_progress() end;

  if course.generation_status in ('completed', 'failed', 'cancelled') then
    -- An ended generation is not revived by a late report. Step 1 that begins is a new generation.
    if step_id <> 1 or status not in ('pending', 'in_progress') then
      return progress;
    end if;
    progress := app.new_progress();
    update courses as c set generation_status = 'pending' where c.id = course_id;
  end if;

  with_documents := coalesce((facts ->> 'has_documents')::boolean, (progress ->> 'has_documents')::boolean, false);
  is_late := step_id < (progress ->> 'current_step')::int
             or progress #>> array['steps', (step_id - 1)::text, 'status'] = 'completed' and status <> 'completed';
  progress := jsonb_set(progress, array['steps', (step_id - 1)::text],
    app.step_after(progress -> 'steps' -> (step_id - 1), status, error_message, error_details, at));
  progress := jsonb_set(progress, '{steps,1,name}',
    to_jsonb(case when with_documents then 'Обработка документов' else 'Анализ задачи' end));
  progress := progress || jsonb_build_object(
    'has_documents', with_documents,
    'percentage', greatest((progress ->> 'percentage')::int, app.step_percentage(step_id, status, facts)),
    'current_step', greatest((progress ->> 'current_step')::int, step_id),
    'message', case when is_late then progress ->> 'message' else coalesce(message, progress ->> 'message') end,
    'lessons_completed',
      greatest((progress ->> 'lessons_completed')::int, coalesce((facts ->> 'lessons_completed')::int, 0)),
    'lessons_total', coalesce((facts ->> 'lessons_total')::int, (progress ->> 'lessons_total')::int));

  update courses as c set generation_progress = progress
  where c.id = course_id and c.generation_progress is distinct from progress;
  if facts <> '{}' and course.current_generation_id is not null then
    update generations as g set progress_metadata = g.progress_metadata || facts
    where g.id = course.current_generation_id;
  end if;

  target := case
    when status = 'failed' then 'failed'
    when step_id = 1 and status = 'completed' then 'initializing'
    when step_id = 1 then 'pending'
    when status = 'pending' then null
    when step_id = 2 and with_documents and status = 'in_progress' then 'processing_documents'
    when step_id = 2 then 'analyzing_task'
    when step_id = 3 then 'generating_structure'
    when step_id = 4 then 'generating_content'
    when step_id = 5 and status = 'completed' then 'completed'
    else 'finalizing' end;
  if target is not null then
    perform app.advance_generation_status(course_id, target, with_documents);
  end if;
  return progress;
end $$;
