-- What is read in bulk: the export of an agent, a user or a tenant, numbers over a range of time, views for analysts, and what the doctor asks.

create index if not exists runs_by_time on baton.runs (environment, tenant_id, created_at);

-- The rows of one kind that belong to an agent, or (agent_uid null) to the tenant itself, in the order of their key: a query with $1 the agent, $2 the
-- key after which to go on, $3 how many, $4 the request. All texts are literals of this file.
create or replace function baton.export_query(part text) returns text language plpgsql immutable set search_path = '' as $$
begin
  return case part
    when 'agent' then $q$ select a.id as k, baton.agent_json(a) as row from baton.agents a where a.agent_uid = $1.agent_uid and $2 is null $q$
    when 'run' then $q$ select r.run_id as k, baton.run_json(r, $1) as row from baton.runs r where r.agent_uid = $1.agent_uid and ($2 is null or r.run_id > $2) order by r.run_id limit $3 $q$
    when 'message' then $q$ select m.seq::text as k, baton.message_json(m) as row from baton.messages m where m.agent_uid = $1.agent_uid and m.seq > coalesce($2::bigint, 0)
      order by m.seq limit $3 $q$
    when 'queued_message' then $q$ select i.position::text as k, json_build_object('runId', i.run_id, 'mode', i.mode, 'kind', i.kind, 'content', i.content, 'at', i.created_at) as row
      from baton.inbox i where i.agent_uid = $1.agent_uid and i.position > coalesce($2::bigint, 0) order by i.position limit $3 $q$
    when 'tool_call' then $q$ select c.call_id as k, baton.call_json(c) as row from baton.tool_calls c where c.agent_uid = $1.agent_uid and ($2 is null or c.call_id > $2)
      order by c.call_id limit $3 $q$
    when 'approval' then $q$ select v.id as k, baton.approval_json(v, $1) as row from baton.approvals v where v.agent_uid = $1.agent_uid and ($2 is null or v.id > $2)
      order by v.id limit $3 $q$
    when 'value' then $q$ select s.key as k, json_build_object('key', s.key, 'value', s.value, 'version', s.version) as row from baton.agent_state s
      where s.agent_uid = $1.agent_uid and ($2 is null or s.key > $2) order by s.key limit $3 $q$
    when 'event' then $q$ select e.seq::text as k, json_build_object('seq', e.seq, 'at', e.at, 'channel', e.channel, 'type', e.type, 'runId', e.run_id, 'step', e.step, 'data', e.data) as row
      from baton.events e where e.agent_uid = $1.agent_uid and e.seq > coalesce($2::bigint, 0) order by e.seq limit $3 $q$
    when 'delivery' then $q$ select d.id as k, baton.delivery_json(d, true)::json as row from baton.webhook_deliveries d where ($2 is null or d.id > $2)
      and d.run_id in (select r.run_id from baton.runs r where r.agent_uid = $1.agent_uid) order by d.id limit $3 $q$
    when 'ledger' then $q$ select v.id as k, json_build_object('id', v.id, 'runId', v.run_id, 'model', v.model, 'step', v.step, 'state', v.state, 'reservedMicros', v.micros,
        'costMicros', v.cost_micros, 'usage', v.usage, 'createdBy', v.created_by, 'at', v.created_at) as row
      from baton.reservations v where ($2 is null or v.id > $2) and v.run_id in (select r.run_id from baton.runs r where r.agent_uid = $1.agent_uid) order by v.id limit $3 $q$
    when 'audit' then $q$ select e.id::text as k, baton.audit_json(e) as row from baton.audit e where e.tenant_id = $1.tenant_id and e.agent_id = $1.id
      and (e.agent_uid = $1.agent_uid or e.agent_uid is null) and e.id > coalesce($2::bigint, 0) order by e.id limit $3 $q$
    when 'tenant_audit' then $q$ select e.id::text as k, baton.audit_json(e) as row from baton.audit e where e.tenant_id = $4 ->> 'tenant' and e.environment = $4 ->> 'environment'
      and e.agent_id is null and e.id > coalesce($2::bigint, 0) order by e.id limit $3 $q$
    when 'key' then $q$ select k.id as k, baton.key_json(k) as row from baton.api_keys k where k.tenant_id = $4 ->> 'tenant' and ($2 is null or k.id > $2) order by k.id limit $3 $q$
    when 'webhook' then $q$ select e.id as k, baton.endpoint_json(e) as row from baton.webhook_endpoints e where e.tenant_id = $4 ->> 'tenant' and ($2 is null or e.id > $2)
      order by e.id limit $3 $q$
    when 'limit' then $q$ select l.scope as k, baton.limit_json(l)::json as row from baton.limits l where l.tenant_id = $4 ->> 'tenant' and ($2 is null or l.scope > $2) order by l.scope limit $3 $q$
    when 'budget' then $q$ select b.scope || ' ' || b.period as k, to_json(b) as row from baton.budgets b where b.tenant_id = $4 ->> 'tenant' and b.environment = $4 ->> 'environment'
      and ($2 is null or b.scope || ' ' || b.period > $2) order by 1 limit $3 $q$
  end;
end $$;

-- The agent of the export after the given one: the only one, the user's, or the tenant's.
create or replace function baton.export_agent(p jsonb, after uuid) returns baton.agents language plpgsql stable set search_path = '' as $$
declare
  a baton.agents;
  scope text := p ->> 'scope';
begin
  select * into a from baton.agents x where x.tenant_id = p ->> 'tenant' and x.environment = p ->> 'environment' and (after is null or x.agent_uid > after)
    and case when scope like 'agent:%' then x.id = substr(scope, 7) when scope like 'user:%' then x.owner_id = substr(scope, 6)::uuid else true end
  order by x.agent_uid limit 1;
  return a;
end $$;

-- {scope, at?: {agentUid, part, after}} -> {lines: [{type, agentId, data}], next}. About 1 MB or 2 s a call; next null at the end.
create or replace function baton.export_page(p jsonb) returns json language plpgsql set search_path = '' as $$
declare
  own constant text[] := array['agent', 'run', 'message', 'queued_message', 'tool_call', 'approval', 'value', 'event', 'delivery', 'ledger', 'audit'];
  shared constant text[] := array['tenant_audit', 'key', 'webhook', 'limit', 'budget'];
  until timestamptz := clock_timestamp() + interval '2 seconds';
  at jsonb := nullif(p -> 'at', 'null');
  a baton.agents;
  parts text[] := own;
  part integer := coalesce((at ->> 'part')::integer, 1);
  after text := at ->> 'after';
  bytes bigint := 0;
  lines json[] := '{}';
  x record;
begin
  if at is null then a := baton.export_agent(p, null);
  elsif at ->> 'agentUid' is not null then
    select * into a from baton.agents g where g.agent_uid = (at ->> 'agentUid')::uuid and g.tenant_id = p ->> 'tenant' and g.environment = p ->> 'environment';
    -- Deleted meanwhile: its rest is gone.
    if not found then a := baton.export_agent(p, (at ->> 'agentUid')::uuid); part := 1; after := null; end if;
  end if;
  if at is null and a.agent_uid is null and p ->> 'scope' like 'agent:%' then return baton.refuse('agent_not_found'); end if;
  loop
    if a.agent_uid is null then
      exit when p ->> 'scope' <> 'tenant';
      if parts = own then
        parts := shared;
        part := case when at ->> 'agentUid' is null and at is not null then part else 1 end;
      end if;
    end if;
    exit when a.agent_uid is null and part > cardinality(parts);
    execute format($q$ select count(*) as n, coalesce(array_agg(z.row order by z.i) filter (where z.total - z.size < 1000000), '{}') as rows,
        (array_agg(z.k order by z.i desc) filter (where z.total - z.size < 1000000))[1] as last, coalesce(sum(z.size) filter (where z.total - z.size < 1000000), 0) as size
      from (select y.*, octet_length(y.row::text) as size, row_number() over () as i, sum(octet_length(y.row::text)) over (rows unbounded preceding) as total from (%s) y) z $q$,
      baton.export_query(parts[part])) into x using a, after, 100, p;
    lines := lines || array(select json_build_object('type', replace(parts[part], 'tenant_', ''), 'agentId', a.id, 'data', r.row) from unnest(x.rows) r(row));
    bytes := bytes + x.size;
    if x.n < 100 and cardinality(x.rows) = x.n or parts[part] = 'agent' then
      part := part + 1;
      after := null;
      if a.agent_uid is not null and part > cardinality(own) then
        a := baton.export_agent(p, a.agent_uid);
        part := 1;
        at := null;
      end if;
    else
      after := x.last;
    end if;
    if bytes > 1000000 or clock_timestamp() > until then
      return json_build_object('ok', true, 'lines', array_to_json(lines), 'next', case when a.agent_uid is not null or p ->> 'scope' = 'tenant' then
        json_build_object('agentUid', a.agent_uid, 'part', part, 'after', after) end);
    end if;
  end loop;
  return json_build_object('ok', true, 'lines', array_to_json(lines), 'next', null);
end $$;

-- {from, to} Numbers of a tenant, or of a user's own, over a range of time: what began in it.
create or replace function baton.stats(p jsonb) returns json language plpgsql stable set search_path = '' as $$
begin
  return (with mine as materialized (
    select r.run_id, r.agent_uid, r.state, r.stop_reason, r.model_calls, r.slices, r.usage, r.cost_micros, extract(epoch from r.ended_at - r.started_at) * 1000 as ms
    from baton.runs r where r.environment = p ->> 'environment' and r.tenant_id = p ->> 'tenant' and r.created_at >= (p ->> 'from')::timestamptz and r.created_at < (p ->> 'to')::timestamptz
      and (not p ? 'ownOnly' or r.owner_id = (p ->> 'ownerId')::uuid) and not p ? 'onlyAgent')
    select json_build_object('ok', true,
      'agents', (select coalesce(json_object_agg(g.state, g.n), '{}') from (select a.state, count(*) as n from baton.agents a where a.tenant_id = p ->> 'tenant' and a.environment = p ->> 'environment'
        and (not p ? 'ownOnly' or a.owner_id = (p ->> 'ownerId')::uuid) and not p ? 'onlyAgent' group by 1) g),
      'runs', (select json_build_object('total', count(*), 'modelCalls', coalesce(sum(m.model_calls), 0), 'slices', coalesce(sum(m.slices), 0), 'costMicros', coalesce(sum(m.cost_micros), 0),
        'inputTokens', coalesce(sum((m.usage ->> 'inputTokens')::bigint), 0), 'outputTokens', coalesce(sum((m.usage ->> 'outputTokens')::bigint), 0),
        'p50Ms', round(percentile_cont(0.5) within group (order by m.ms)), 'p95Ms', round(percentile_cont(0.95) within group (order by m.ms)), 'maxMs', round(max(m.ms))) from mine m),
      'byState', (select coalesce(json_object_agg(g.state, g.n), '{}') from (select m.state, count(*) as n from mine m group by 1) g),
      'byStopReason', (select coalesce(json_object_agg(g.stop_reason, g.n), '{}') from (select m.stop_reason, count(*) as n from mine m where m.stop_reason is not null group by 1) g),
      'tools', (select coalesce(json_agg(json_build_object('name', g.name, 'calls', g.calls, 'failed', g.failed, 'denied', g.denied, 'sealed', g.sealed, 'p50Ms', g.p50, 'p95Ms', g.p95)
          order by g.calls desc, g.name), '[]') from (select c.name, count(*) as calls, count(*) filter (where c.state = 'failed') as failed, count(*) filter (where c.state = 'denied') as denied,
          count(*) filter (where c.state = 'sealed') as sealed, round(percentile_cont(0.5) within group (order by extract(epoch from c.ended_at - c.started_at) * 1000)) as p50,
          round(percentile_cont(0.95) within group (order by extract(epoch from c.ended_at - c.started_at) * 1000)) as p95
        from mine m join baton.tool_calls c on c.run_id = m.run_id group by c.name order by 2 desc limit 100) g)));
end $$;

-- Views for analysts: numbers and names, never what was said. Who may read them gets the role baton_analyst.
create or replace view baton.report_runs as select r.run_id, r.tenant_id, r.environment, a.id as agent_id, a.template, r.owner_id, r.created_by, r.state, r.stop_reason, r.cause, r.step as steps,
  r.model_calls, r.tool_calls, r.crashes, r.slices, r.work_ms, r.cost_micros, (r.usage ->> 'inputTokens')::bigint as input_tokens, (r.usage ->> 'outputTokens')::bigint as output_tokens,
  r.created_at, r.started_at, r.ended_at, r.ended_at - r.started_at as duration from baton.runs r join baton.agents a using (agent_uid);
create or replace view baton.report_agents as select a.agent_uid, a.tenant_id, a.environment, a.id as agent_id, a.template, a.settings ->> 'model' as model, a.owner_id, a.created_by, a.state,
  a.queued, a.steps, a.last_message_seq as messages, a.last_event_seq - a.first_event_seq + 1 as events_kept, a.created_at, a.updated_at from baton.agents a;
create or replace view baton.report_tool_calls as select c.call_id, c.tenant_id, a.environment, a.id as agent_id, c.run_id, c.name as tool, c.effect, c.state, c.attempts, c.step,
  c.started_at, c.ended_at, c.ended_at - c.started_at as duration, c.created_at from baton.tool_calls c join baton.agents a using (agent_uid);
create or replace view baton.report_usage_daily as select v.environment, v.tenant_id, (v.created_at at time zone 'UTC')::date as day, v.agent_id, v.owner_id, v.created_by, v.model,
  count(*) as calls, sum(v.cost_micros) as cost_micros, sum(v.micros) filter (where v.state = 'reserved') as reserved_micros, sum((v.usage ->> 'inputTokens')::bigint) as input_tokens,
  sum((v.usage ->> 'outputTokens')::bigint) as output_tokens from baton.reservations v group by 1, 2, 3, 4, 5, 6, 7;
create or replace view baton.report_messages as select m.tenant_id, a.environment, a.id as agent_id, m.seq, m.run_id, m.role, m.kind, m.bytes, m.est_tokens, m.created_at
  from baton.messages m join baton.agents a using (agent_uid);
do $$
begin
  create role baton_analyst nologin;
exception when duplicate_object or unique_violation then null; -- roles belong to the cluster
  when insufficient_privilege then raise notice 'baton_analyst was not made: make it as an administrator and apply this file again';
end $$;
do $$
declare
  v text;
begin
  if not exists (select from pg_catalog.pg_roles where rolname = 'baton_analyst') then return; end if;
  grant usage on schema baton to baton_analyst;
  foreach v in array array['runs', 'agents', 'tool_calls', 'usage_daily', 'messages'] loop
    execute format('grant select on baton.report_%s to baton_analyst', v);
  end loop;
end $$;

-- The doctor writes an id here and sends it round by Inngest; the function that it comes to writes it beside.
create table if not exists baton.probes (
  environment text primary key,
  asked text,
  asked_at timestamptz,
  answered text,
  answered_at timestamptz
);

-- {environment, answered} of the function.
create or replace function baton.answer_probe(p jsonb) returns json language plpgsql set search_path = '' as $$
begin
  update baton.probes x set answered = p ->> 'answered', answered_at = baton.clock() where x.environment = p ->> 'environment' and x.asked = p ->> 'answered';
  return json_build_object('ok', true);
end $$;

-- {environment, ask?} -> what only the database knows of its own health: a written row, migrations, rights, the age of what should move.
create or replace function baton.doctor(p jsonb) returns json language plpgsql set search_path = '' as $$
declare
  env text := p ->> 'environment';
begin
  if p ->> 'ask' is not null then
    insert into baton.probes as x (environment, asked, asked_at) values (env, p ->> 'ask', baton.clock())
    on conflict (environment) do update set asked = excluded.asked, asked_at = excluded.asked_at;
  end if;
  return json_build_object('ok', true, 'now', baton.clock(), 'version', current_setting('server_version'),
    'migrations', (select coalesce(json_object_agg(m.name, m.checksum), '{}') from baton.migrations m),
    'openTables', (select coalesce(json_agg(c.relname), '[]') from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
      where n.nspname = 'baton' and c.relkind = 'r' and not c.relrowsecurity),
    'openFunctions', (select coalesce(json_agg(f.proname), '[]') from pg_catalog.pg_proc f join pg_catalog.pg_namespace n on n.oid = f.pronamespace
      where n.nspname = 'public' and f.proname like 'baton\_%' and f.prokind = 'f'
        and (pg_catalog.has_function_privilege('anon', f.oid, 'execute') or pg_catalog.has_function_privilege('authenticated', f.oid, 'execute'))),
    'switches', (select coalesce(json_agg(json_build_object('scope', s.scope, 'tenant', s.tenant_id, 'mode', s.mode) order by s.created_at), '[]')
      from baton.switches s where s.environment = env and s.scope in ('global', 'tenant')),
    'disabledEndpoints', (select count(*) from baton.webhook_endpoints e where e.environment = env and not e.enabled),
    'answered', (select x.answered from baton.probes x where x.environment = env),
    'tenants', (select count(*) from baton.tenants t where t.environment = env),
    'keys', (select count(*) from baton.api_keys k where k.environment = env and baton.key_live(k)),
    -- Of the clock alone: sweeps beside requests would hide that it is dead.
    'lastSweepAgeMs', (select baton.millis(baton.clock() - s.cron_at) from baton.sweeps s where s.environment = env), 'providers', baton.failing_providers(env),
    'prunedAgeMs', (select baton.millis(baton.clock() - s.pruned_at) from baton.sweeps s where s.environment = env),
    'oldestUnsentMs', baton.oldest_outbox(env), 'oldestDueMs', baton.oldest_due(env));
end $$;

-- A deletion goes in pieces (erase, 0020), and whoever asks may stop after any of them: the audit tells of its beginning in the first piece that deletes
-- something, and in the last one of how many agents there were.
create or replace function baton.begin_erasure(p jsonb) returns json language plpgsql set search_path = '' as $$
declare
  begun boolean;
begin
  select t.erasing into begun from baton.tenants t where t.id = p ->> 'tenant' and t.environment = p ->> 'environment' for no key update;
  if not found then return baton.refuse('tenant_missing', jsonb_build_object('tenant', p ->> 'tenant')); end if;
  if not begun then
    update baton.tenants t set erasing = true where t.id = p ->> 'tenant';
    perform baton.audit_request(p, '{"action": "tenant.delete.begin", "decision": "allowed", "scope": "tenant"}');
  end if;
  insert into baton.switches as s (environment, tenant_id, scope, mode, reason, actor)
  values (p ->> 'environment', p ->> 'tenant', 'tenant', 'kill', 'The tenant is being deleted.', p ->> 'caller')
  on conflict (environment, tenant_id, scope) do update set mode = 'kill', reason = excluded.reason, actor = excluded.actor, created_at = excluded.created_at where s.mode <> 'kill';
  if found then
    perform baton.audit_request(p, '{"action": "switch.set", "decision": "allowed", "scope": "tenant", "reason": "The tenant is being deleted.", "data": {"mode": "kill", "changed": true}}');
  end if;
  return null;
end $$;

-- What pieces have deleted so far stands where keys of requests do, and goes as they do where nobody goes on for a day.
create or replace function baton.note_erased(p jsonb, agents integer) returns void language plpgsql set search_path = '' as $$
declare
  total integer;
begin
  insert into baton.idempotency as i (tenant_id, caller, key, hash, chosen) values (p ->> 'tenant', 'baton:erasing', p ->> 'scope', p ->> 'environment', to_jsonb(agents))
  on conflict (tenant_id, caller, key) do update set chosen = to_jsonb((i.chosen #>> '{}')::integer + agents), created_at = baton.clock() returning (i.chosen #>> '{}')::integer into total;
  if total = agents and p ->> 'scope' <> 'tenant' then
    perform baton.audit_request(p, jsonb_build_object('action', 'user.delete.begin', 'decision', 'allowed', 'scope', p -> 'scope'));
  end if;
end $$;

create or replace function baton.take_erased(p jsonb) returns jsonb language plpgsql set search_path = '' as $$
declare
  total jsonb;
begin
  delete from baton.idempotency i where i.tenant_id = p ->> 'tenant' and i.caller = 'baton:erasing' and i.key = p ->> 'scope' returning i.chosen into total;
  return jsonb_build_object('agents', coalesce(total, '0'));
end $$;
