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
    ['get_agent', 'get_agent', 'agents:read|stream'],
    ['get_run', 'get_run', 'agents:read|stream'],
    ['list_agents', 'list_agents', 'agents:read'],
    ['list_runs', 'list_runs', 'agents:read'],
    ['create_key', 'create_key', 'admin'],
    ['get_key', 'get_key', 'admin'],
    ['list_keys', 'list_keys', 'admin'],
    ['patch_key', 'patch_key', 'admin'],
    ['revoke_key', 'revoke_key', 'admin'],
    ['rotate_key', 'rotate_key', 'admin'],
    ['has_keys', 'has_keys', ''],
    ['bootstrap', 'bootstrap', ''],
    ['list_limits', 'list_limits', 'admin'],
    ['set_limit', 'set_limit', 'admin'],
    -- Whoever calls, with whatever right: they tell and change nothing of the caller's.
    ['limits_of', 'limits_of', ''],
    ['limit_refused', 'limit_refused', ''],
    ['tenant_limits', 'tenant_limits', ''],
    ['list_audit', 'list_audit', 'admin'],
    ['create_webhook', 'create_webhook', 'admin'],
    ['refuse_webhook', 'refuse_webhook', 'admin'],
    ['list_webhooks', 'list_webhooks', 'admin'],
    ['get_webhook', 'get_webhook', 'admin'],
    ['patch_webhook', 'patch_webhook', 'admin'],
    ['rotate_webhook', 'rotate_webhook', 'admin'],
    ['delete_webhook', 'delete_webhook', 'admin'],
    ['test_webhook', 'test_webhook', 'admin'],
    ['list_deliveries', 'list_deliveries', 'admin'],
    ['get_delivery', 'get_delivery', 'admin'],
    ['redeliver', 'redeliver', 'admin'],
    ['set_switch', 'set_switch', 'admin'],
    ['lift_switch', 'lift_switch', 'admin'],
    ['list_switches', 'list_switches', 'admin'],
    ['retry_candidates', 'retry_candidates', 'agents:run'],
    ['apply_switch_work', 'apply_switch_work', ''],
    -- These authorize by themselves: more than one right opens them, a call's signed address is its own credential, and a key may have gone with its tenant.
    ['decide', 'decide', ''],
    ['get_approval', 'get_approval', ''],
    ['list_approvals', 'list_approvals', ''],
    ['call_result', 'call_result', ''],
    ['erase', 'erase_asked', ''],
    ['get_budget', 'get_budget', 'agents:read'],
    ['list_budgets', 'list_budgets', 'agents:read'],
    ['put_budget', 'put_budget', 'admin'],
    ['delete_budget', 'delete_budget', 'admin'],
    ['wake_budgets', 'wake_budgets', 'admin'],
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
    ['get_retention', 'get_retention', 'admin'],
    ['set_retention', 'set_retention', 'admin'],
    ['export_page', 'export_page', 'admin'],
    ['consistency', 'consistency', 'agents:read'],
    ['repair_agent', 'repair_agent', 'admin'],
    ['stats', 'stats', 'agents:read'],
    ['fsck', 'fsck', ''],
    ['doctor', 'doctor', ''],
    ['answer_probe', 'answer_probe', ''],
    -- By agentUid, which only who may read the agent is told.
    ['list_messages', 'list_messages', ''],
    ['list_tool_calls', 'list_tool_calls', ''],
    ['list_events', 'list_events', ''],
    ['ensure_tenant', 'ensure_tenant', ''],
    ['get_tenant', 'get_tenant', ''],
    ['health', 'health', ''],
    ['add_metrics', 'add_metrics', ''],
    ['read_metrics', 'read_metrics', 'admin'],
    ['tell_health', 'tell_health', ''], ['alerts_told', 'alerts_told', '']
  ];
  verb text[];
  -- What every turn calls never reads a table from end to end: a plan that was made while the tables were small would go on doing so (docs/decisions/0022).
  frequent text[] := array['open', 'claim', 'renew', 'commit'];
  settings text;
begin
  foreach verb slice 1 in array verbs loop
    settings := 'set search_path = ''''' || case when verb[1] = any (frequent) then ' set enable_seqscan = off' else '' end;
    execute format('drop function if exists public.baton_%s(jsonb)', verb[1]);
    if verb[3] = '' then
      execute format('create function public.baton_%s(p jsonb) returns json language sql volatile security definer %s as $f$ select baton.%s(p) $f$', verb[1], settings, verb[2]);
    else
      execute format($create$create function public.baton_%s(p jsonb) returns json language plpgsql volatile security definer %s as $f$
        declare
          authorized jsonb := baton.authorize(p, %L);
          answer json;
          audited boolean;
        begin
          if authorized ->> 'ok' = 'false' then return authorized::json; end if;
          answer := baton.%s(authorized);
          %s
          return answer;
        end $f$ $create$, verb[1], settings, verb[3], verb[2], case when verb[3] not like 'agents:read%' then format('audited := baton.audit_answer(%L, authorized, answer);', verb[1]) end);
    end if;
  end loop;
end $$;

-- The columns of a table that an owner may read directly: not the sealed secrets, not the tenant's own affairs.
create or replace function baton.shown_columns(of_table text) returns text language plpgsql stable set search_path = '' as $$
begin
  return (select string_agg(quote_ident(c.column_name), ', ' order by c.ordinal_position) from information_schema.columns c
    where c.table_schema = 'baton' and c.table_name = of_table and c.column_name not in ('webhook', 'settings', 'last_answer', 'last_commit', 'past_slices', 'resends', 'resend_at'));
end $$;

-- Supabase's own start-up and some hosts grant everything in public to everybody, and so do its default privileges when a dump is restored: run again
-- after such a start, and at the end of every migration. Where all is right already it locks no table.
create or replace function baton.apply_grants() returns void language plpgsql set search_path = '' as $$
declare
  f regprocedure;
  t text;
begin
  revoke all on schema baton from public, anon, authenticated;
  revoke all on all tables in schema baton from public, anon, authenticated;
  revoke execute on all functions in schema baton from public, anon, authenticated;
  -- Not even the service key may touch the log itself: it is read and written by the functions alone.
  revoke all on baton.audit, baton.audit_failures from service_role;
  grant usage on schema baton to service_role, authenticated;
  for f in select p.oid::regprocedure from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace where n.nspname = 'public' and p.proname like 'baton\_%'
  loop
    execute format('revoke execute on function %s from public, anon, authenticated', f);
    execute format('grant execute on function %s to service_role', f);
  end loop;
  for t in select c.relname from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace where n.nspname = 'baton' and c.relkind = 'r'
    and not c.relrowsecurity
  loop
    execute format('alter table baton.%I enable row level security', t);
  end loop;
  -- An owner may read what is theirs, directly and through the views of the same name; nobody may write.
  foreach t in array array['agents', 'runs', 'messages', 'events', 'tool_calls'] loop
    execute format('grant select (%s) on baton.%I to authenticated', baton.shown_columns(t), t);
    execute format('revoke all on public.baton_%s from public, anon, authenticated', t);
    execute format('grant select on public.baton_%s to authenticated, service_role', t);
  end loop;
end $$;

do $$
declare
  t text;
  view text;
begin
  foreach t in array array['agents', 'runs', 'messages', 'events', 'tool_calls'] loop
    execute format('drop policy if exists owner_reads on baton.%I', t);
    -- The list of agents is there for the plan: it opens the primary keys by agent_uid; the owner alone decides.
    execute format('create policy owner_reads on baton.%I for select to authenticated using (owner_id = (select auth.uid())%s)', t,
      case when t in ('messages', 'events', 'tool_calls')
      then ' and agent_uid = any (array(select o.agent_uid from baton.agents o where o.owner_id = (select auth.uid())))' else '' end);
    view := format('create or replace view public.baton_%s with (security_invoker = true) as select %s from baton.%I', t, baton.shown_columns(t), t);
    begin
      execute view;
    exception when invalid_table_definition then
      -- Columns of an earlier release are gone from it: only a new view can have fewer.
      execute format('drop view public.baton_%s', t);
      execute view;
    end;
  end loop;
end $$;
select baton.apply_grants();
