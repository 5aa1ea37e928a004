-- Kill and hold.
create or replace function baton.switch_refusal(w baton.work, p jsonb) returns json language plpgsql set search_path = '' as $$
begin
  return null;
end $$;
