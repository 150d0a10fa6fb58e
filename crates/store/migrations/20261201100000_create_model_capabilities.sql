-- What servers have taught of their models: learnt from refusals, shared by all workers. It belongs to no organization.

create table public.model_capabilities (
  provider text not null,
  -- Host, port and path: at another address it says nothing.
  address text not null,
  model text not null,
  capabilities jsonb not null,
  learnt_at timestamptz not null default now(),
  primary key (provider, address, model)
);

revoke all on table public.model_capabilities from public, anon, authenticated;
alter table public.model_capabilities enable row level security;
alter table public.model_capabilities force row level security;
create policy service_all on public.model_capabilities to service_role using (true) with check (true);
grant select, insert, update, delete on public.model_capabilities to service_role;

-- What a call of a model without a known price is counted as against the budget; null: the cost is known.
alter table public.model_calls add column assumed_usd_micros bigint check (assumed_usd_micros >= 0);
