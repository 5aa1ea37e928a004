-- The only door: one function a verb in schema public, callable by service_role alone. Tables are select-only by row level security.
do $$
declare
  f text;
  pairs text[][] := array[['open', 'open'], ['claim', 'claim'], ['renew', 'renew'], ['commit', 'commit_step'], ['settle', 'settle'], ['stop', 'stop'],
    ['retry', 'retry_run'], ['sweep', 'sweep'], ['outbox_sent', 'outbox_sent'], ['take_delivery', 'take_delivery'], ['record_delivery', 'record_delivery'],
    ['prune', 'prune'], ['create_agent', 'create_agent'], ['get_agent', 'get_agent'], ['patch_agent', 'patch_agent'], ['delete_agent', 'delete_agent'],
    ['get_run', 'get_run'], ['list_agents', 'list_agents'], ['list_runs', 'list_runs'], ['list_messages', 'list_messages'],
    ['list_tool_calls', 'list_tool_calls'], ['list_events', 'list_events'], ['ensure_tenant', 'ensure_tenant'], ['get_tenant', 'get_tenant'], ['health', 'health']];
  pair text[];
begin
  foreach pair slice 1 in array pairs loop
    execute format('create or replace function public.baton_%s(p jsonb) returns json language sql volatile security definer set search_path = '''' as $f$ select baton.%s(p) $f$', pair[1], pair[2]);
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
