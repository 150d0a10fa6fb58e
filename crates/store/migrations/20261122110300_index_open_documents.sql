-- no-transaction
-- Those that wait to be read or are being read: few of many.
create index concurrently if not exists documents_open on public.documents (id) where status in ('uploaded', 'processing');
