-- Budgets wider than a run.
create or replace function baton.budget_refusal(w baton.work, p jsonb) returns json language plpgsql set search_path = '' as $$
begin
  return null;
end $$;
