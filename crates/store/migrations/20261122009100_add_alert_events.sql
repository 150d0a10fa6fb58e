-- Alerts are events for operators of their own kind: what they are about stands in their metadata.

alter table public.system_metrics drop constraint system_metrics_event_type_check;
alter table public.system_metrics add constraint system_metrics_event_type_check check (event_type in (
  'job_rollback', 'orphaned_job_recovery', 'concurrency_limit_hit', 'worker_timeout', 'retry_exhausted',
  'duplicate_job_detected', 'quality_low', 'token_budget_warning', 'model_fallback', 'cost_overrun',
  'provider_down', 'superadmin_action', 'alert'));
