-- The only door: one function a verb in schema public, callable by service_role alone. Tables are select-only by row level security.
-- Each has its name, the function behind it and the right a caller needs; an executor's own verbs need none.
do $$
declare
  f text;
  verbs text[][] := array[
    ['open', 'open', 'agents:run'],
    ['create_agent', 'create_agent', 'agents:run'],
    ['patch_agent', 'patch_agent', 'agents:run'],
    ['delete_agent', 'delete_agent', 'agents:run'],
    ['stop', 'stop', 'agents:run'],
    ['retry', 'retry_run', 'agents:run'],
    ['get_agent', 'get_agent', 'agents:read'],
    ['get_run', 'get_run', 'agents:read'],
    ['list_agents', 'list_agents', 'agents:read'],
    ['list_runs', 'list_runs', 'agents:read'],
    ['get_budget', 'get_budget', 'agents:read'],
    ['list_budgets', 'list_budgets', 'agents:read'],
    ['put_budget', 'put_budget', 'admin'],
    ['delete_budget', 'delete_budget', 'admin'],
    ['usage', 'usage', 'agents:read'],
    ['claim', 'claim', ''],
    ['renew', 'renew', ''],
    ['commit', 'commit_step', ''],
    ['settle', 'settle', ''],
    ['sweep', 'sweep', ''],
    ['outbox_sent', 'outbox_sent', ''],
    ['take_delivery', 'take_delivery', ''],
    ['record_delivery', 'record_delivery', ''],
    ['prune', 'prune', ''],
    -- By agentUid, which only who may read the agent is told.
    ['list_messages', 'list_messages', ''],
    ['list_tool_calls', 'list_tool_calls', ''],
    ['list_events', 'list_events', ''],
    ['ensure_tenant', 'ensure_tenant', ''],
    ['get_tenant', 'get_tenant', ''],
    ['health', 'health', '']
  ];
  verb text[];
begin
  foreach verb slice 1 in array verbs loop
    execute format('drop function if exists public.baton_%s(jsonb)', verb[1]);
    if verb[3] = '' then
      execute format('create function public.baton_%s(p jsonb) returns json language sql volatile security definer set search_path = '''' as $f$ select baton.%s(p) $f$', verb[1], verb[2]);
    else
      execute format($create$create function public.baton_%s(p jsonb) returns json language plpgsql volatile security definer set search_path = '' as $f$
        declare
          authorized jsonb := baton.authorize(p, %L);
        begin
          if authorized ->> 'ok' = 'false' then return authorized::json; end if;
          return baton.%s(authorized);
        end $f$ $create$, verb[1], verb[3], verb[2]);
    end if;
  end loop;
end $$;

-- Supabase's own start-up and some hosts grant everything in public to everybody: run again after such a start.
create or replace function baton.apply_grants() returns void language plpgsql set search_path = '' as $$
declare
  f regprocedure;
  t text;
begin
  revoke all on schema baton from public, anon, authenticated;
  revoke all on all tables in schema baton from public, anon, authenticated;
  revoke execute on all functions in schema baton from public, anon, authenticated;
  grant usage on schema baton to service_role, authenticated;
  for f in select p.oid::regprocedure from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace where n.nspname = 'public' and p.proname like 'baton\_%'
  loop
    execute format('revoke execute on function %s from public, anon, authenticated', f);
    execute format('grant execute on function %s to service_role', f);
  end loop;
  for t in select c.relname from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace where n.nspname = 'baton' and c.relkind = 'r'
  loop
    execute format('alter table baton.%I enable row level security', t);
  end loop;
  -- An owner may read what is theirs, directly and through the views of the same name; nobody may write.
  foreach t in array array['agents', 'runs', 'messages', 'events', 'tool_calls'] loop
    execute format('grant select on baton.%I to authenticated', t);
    execute format('revoke all on public.baton_%s from public, anon, authenticated', t);
    execute format('grant select on public.baton_%s to authenticated, service_role', t);
  end loop;
end $$;

do $$
declare
  t text;
begin
  foreach t in array array['agents', 'runs', 'messages', 'events', 'tool_calls'] loop
    execute format('drop policy if exists owner_reads on baton.%I', t);
    execute format('create policy owner_reads on baton.%I for select to authenticated using (owner_id = (select auth.uid()))', t);
    execute format('create or replace view public.baton_%s with (security_invoker = true) as select * from baton.%I', t, t);
  end loop;
end $$;
select baton.apply_grants();
