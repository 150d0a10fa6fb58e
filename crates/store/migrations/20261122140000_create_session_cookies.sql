-- Sessions of browsers: what a cookie holds is exchanged now and then, and one that was exchanged and comes again was
-- stolen (service 4.6). A session has either refresh tokens or cookies.

create table public.session_cookies (
  -- SHA-256 of the cookie, which is stored nowhere.
  token_hash bytea primary key check (length(token_hash) = 32),
  session_id uuid not null references public.sessions on delete cascade,
  issued_at timestamptz not null,
  expires_at timestamptz not null,
  -- When a successor was handed out: nobody knows yet whether the browser has heard of it.
  replaced_at timestamptz,
  -- When the browser first came with it.
  seen_at timestamptz,
  -- When a younger one of the session first came: from then on this one is as good as gone.
  superseded_at timestamptz
);
create index session_cookies_session on public.session_cookies (session_id);
create index session_cookies_expiry on public.session_cookies (expires_at);

revoke all on table public.session_cookies from public, anon, authenticated;
alter table public.session_cookies enable row level security;
alter table public.session_cookies force row level security;
create policy service_all on public.session_cookies to service_role using (true) with check (true);
grant select, insert, update, delete on public.session_cookies to service_role;
