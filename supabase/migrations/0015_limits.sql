-- Limits of runs at a time.
create or replace function baton.concurrency_refusal(w baton.work, p jsonb) returns json language plpgsql set search_path = '' as $$
begin
  return null;
end $$;
