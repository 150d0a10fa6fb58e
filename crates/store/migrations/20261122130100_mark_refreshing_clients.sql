-- Two tabs of one browser may refresh with the same token at the same moment. Which client has used it tells them from a
-- thief; only a digest of what the client shows is kept.

alter table public.refresh_tokens add column used_by bytea check (length(used_by) = 32);
