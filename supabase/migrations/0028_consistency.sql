-- Consistency: what must hold between the rows of an agent, looked at in one snapshot. A finding is {code, runId?, details}; what each means and how it
-- is mended stands in lib/core/consistency.ts and docs/runbook.md. The repairs are in 0029.

create or replace function baton.finding(code text, run text, details jsonb) returns jsonb language plpgsql immutable set search_path = '' as $$
begin
  return jsonb_strip_nulls(jsonb_build_object('code', code, 'runId', run)) || jsonb_build_object('details', details);
end $$;

-- Whether a row's content has the form of its role: text, or parts that each have a type; of a tool only results, of whatever is a call or a result its id.
create or replace function baton.readable(role text, content json) returns boolean language plpgsql immutable set search_path = '' as $$
begin
  if json_typeof(content) = 'string' then return role <> 'tool'; end if;
  if json_typeof(content) is distinct from 'array' then return false; end if;
  return not exists (select from json_array_elements(content) p where case when json_typeof(p.value) is distinct from 'object' or json_typeof(p.value -> 'type') is distinct from 'string' then true
    when p.value ->> 'type' in ('tool-call', 'tool-result') then json_typeof(p.value -> 'toolCallId') is distinct from 'string' or json_typeof(p.value -> 'toolName') is distinct from 'string'
      or p.value ->> 'type' = 'tool-result' and json_typeof(p.value -> 'output') is distinct from 'object'
    when p.value ->> 'type' = 'text' then json_typeof(p.value -> 'text') is distinct from 'string' else role = 'tool' end);
end $$;

-- The calls and results that stand in an agent's history, in order; rows that cannot be read have none.
create or replace function baton.history_parts(uid uuid) returns table (seq bigint, place bigint, kind text, call_id text, name text) language sql stable set search_path = '' as $$
  select m.seq, p.ordinality, p.value ->> 'type', p.value ->> 'toolCallId', p.value ->> 'toolName' from baton.messages m
  cross join lateral json_array_elements(case when json_typeof(m.content) = 'array' and baton.readable(m.role, m.content) then m.content else '[]' end) with ordinality p
  where m.agent_uid = uid and m.role in ('assistant', 'tool') and p.value ->> 'type' in ('tool-call', 'tool-result')
$$;

-- The conversation: numbers without gaps, rows that can be read, each call with exactly one result behind it.
create or replace function baton.history_findings(a baton.agents) returns jsonb language plpgsql stable set search_path = '' as $$
declare
  found_here jsonb;
begin
  select coalesce(jsonb_agg(f.finding), '[]') into found_here from (
    select baton.finding('message_gap', null, jsonb_build_object('from', g.before + 1, 'to', g.seq - 1)) as finding
    from (select m.seq, lag(m.seq, 1, 0::bigint) over (order by m.seq) as before from baton.messages m where m.agent_uid = a.agent_uid
      union all select a.last_message_seq + 1, (select coalesce(max(x.seq), 0) from baton.messages x where x.agent_uid = a.agent_uid)) g where g.seq > g.before + 1
    union all
    select baton.finding('message_corrupted', m.run_id, jsonb_build_object('seq', m.seq, 'role', m.role))
    from baton.messages m where m.agent_uid = a.agent_uid and not baton.readable(m.role, m.content)) f;
  return found_here || (with parts as materialized (select * from baton.history_parts(a.agent_uid)), faults as (
    select baton.finding('dangling_call', min(t.run_id), jsonb_build_object('seq', c.seq, 'callIds', jsonb_agg(c.call_id order by c.place))) as finding
    from parts c left join baton.tool_calls t on t.agent_uid = a.agent_uid and t.call_id = c.call_id left join baton.runs r on r.run_id = t.run_id
    where c.kind = 'tool-call' and not exists (select from parts p where p.kind = 'tool-result' and p.call_id = c.call_id and p.seq > c.seq)
      -- Its result is still to come.
      and not (t.call_id is not null and not t.entered and baton.is_open(r.state)) group by c.seq
    union all
    select baton.finding('doubled_result', null, jsonb_build_object('seq', p.seq, 'place', p.place, 'callId', p.call_id))
    from (select x.*, row_number() over (partition by x.call_id order by x.seq, x.place) as n from parts x where x.kind = 'tool-result') p where p.n > 1
    union all
    select baton.finding('orphan_result', null, jsonb_build_object('seq', p.seq, 'callIds', jsonb_agg(p.call_id order by p.place)))
    from parts p where p.kind = 'tool-result' and not exists (select from parts c where c.kind = 'tool-call' and c.call_id = p.call_id and c.seq < p.seq) group by p.seq)
    select coalesce(jsonb_agg(f.finding), '[]') from faults f);
end $$;

create or replace function baton.counter_finding(counter text, is_now bigint, should_be bigint) returns jsonb language plpgsql immutable set search_path = '' as $$
begin
  return baton.finding('counter_differs', null, jsonb_build_object('counter', counter, 'is', is_now, 'shouldBe', should_be));
end $$;

-- Events without gaps from the oldest kept to the last, and the counters of the agent's row against the rows they count.
create or replace function baton.counter_findings(a baton.agents) returns jsonb language plpgsql stable set search_path = '' as $$
declare
  m record;
  e record;
  i record;
  most_tokens bigint;
  steps bigint;
begin
  select coalesce(max(x.seq), 0) as last into m from baton.messages x where x.agent_uid = a.agent_uid;
  select coalesce(min(x.seq), a.last_event_seq + 1) as first, coalesce(max(x.seq), 0) as last into e from baton.events x where x.agent_uid = a.agent_uid;
  select count(*) as n, coalesce(max(x.position), 0) as last into i from baton.inbox x where x.agent_uid = a.agent_uid;
  select coalesce(sum(x.est_tokens), 0) into most_tokens from baton.messages x where x.agent_uid = a.agent_uid
    and (x.seq >= a.window_from or x.role = 'user' and x.seq <= coalesce((a.settings -> 'window' ->> 'keepFirst')::bigint, 0));
  select coalesce(sum(x.step), 0) into steps from baton.runs x where x.agent_uid = a.agent_uid;
  return (select coalesce(jsonb_agg(f.finding), '[]') from (
    select baton.finding('event_gap', null, jsonb_build_object('from', g.before + 1, 'to', g.seq - 1)) as finding
    from (select x.seq, lag(x.seq, 1, e.first - 1) over (order by x.seq) as before from baton.events x where x.agent_uid = a.agent_uid
      union all select a.last_event_seq + 1, e.last where e.last > 0) g where g.seq > g.before + 1
    union all select baton.counter_finding('first_event_seq', a.first_event_seq, e.first) where a.first_event_seq <> e.first
    union all select baton.counter_finding('last_event_seq', a.last_event_seq, e.last) where a.last_event_seq < e.last
    union all select baton.counter_finding('last_message_seq', a.last_message_seq, m.last) where a.last_message_seq < m.last
    union all select baton.counter_finding('last_inbox', a.last_inbox, i.last) where a.last_inbox < i.last
    union all select baton.counter_finding('queued', a.queued, i.n) where a.queued <> i.n
    union all select baton.counter_finding('steps', a.steps, steps) where a.steps <> steps
    -- It is an upper bound: more than there is does no harm.
    union all select baton.counter_finding('window_tokens', a.window_tokens, most_tokens) where a.window_tokens < most_tokens) f);
end $$;

-- Runs that nobody will go on with, and calls, approvals and waits that belong to nothing.
create or replace function baton.work_findings(a baton.agents) returns jsonb language plpgsql stable set search_path = '' as $$
declare
  r baton.runs;
  idle boolean := a.lease_owner is null or a.lease_until <= baton.clock();
  late timestamptz := baton.clock() - interval '15 minutes';
begin
  select * into r from baton.runs x where x.run_id = a.active_run and x.agent_uid = a.agent_uid;
  return (select coalesce(jsonb_agg(f.finding), '[]') from (
    select baton.finding('active_run_ended', a.active_run, jsonb_build_object('state', r.state)) as finding
    where a.active_run is not null and (r.run_id is null or not baton.is_open(r.state))
    union all select baton.finding('idle_agent_marked', null, jsonb_build_object('state', a.state, 'leaseOwner', a.lease_owner, 'queued', a.queued))
    where a.active_run is null and (a.state <> 'ready' or a.lease_owner is not null or exists (select from baton.inbox i where i.agent_uid = a.agent_uid))
    union all select baton.finding('run_unreachable', x.run_id, jsonb_build_object('state', x.state, 'begun', x.opening_seq is not null))
    from baton.runs x where x.agent_uid = a.agent_uid and x.ended_at is null and baton.is_open(x.state) and x.run_id is distinct from a.active_run
      and not exists (select from baton.inbox i where i.agent_uid = a.agent_uid and i.run_id = x.run_id)
    union all select baton.finding('inbox_of_ended_run', i.run_id, jsonb_build_object('position', i.position, 'state', x.state))
    from baton.inbox i join baton.runs x on x.run_id = i.run_id where i.agent_uid = a.agent_uid and not baton.is_open(x.state)
    union all select baton.finding(case when c.executing then 'open_call_without_lease' else 'run_stuck' end, r.run_id,
      jsonb_strip_nulls(jsonb_build_object('state', r.state, 'waitKind', r.wait_kind, 'callIds', c.ids)))
    from (select coalesce(bool_or(t.state = 'executing'), false) as executing, coalesce(bool_or(t.state = 'approval_required'), false) as undecided,
        coalesce(bool_or(t.state = 'waiting_external'), false) as outside, jsonb_agg(t.call_id order by t.call_id) filter (where t.state = 'executing') as ids
      from baton.tool_calls t where t.run_id = r.run_id and not t.entered) c
    where baton.is_open(r.state) and r.due_at is null and idle and not (r.wait_kind is not distinct from 'hold')
      and (c.executing or not (r.state = 'awaiting_approval' and c.undecided or r.wait_kind is not distinct from 'external' and (c.outside or c.undecided)))
    union all select baton.finding('run_overdue', r.run_id, jsonb_build_object('dueAt', r.due_at, 'continuedAt', a.continued_at))
    where baton.is_open(r.state) and idle and r.due_at < late
    union all select baton.finding('open_call_without_run', c.run_id, jsonb_build_object('callId', c.call_id, 'state', c.state))
    from baton.tool_calls c left join baton.runs x on x.run_id = c.run_id where c.agent_uid = a.agent_uid and not c.entered and not coalesce(baton.is_open(x.state), false)
    union all select baton.finding('approval_orphan', v.run_id, jsonb_build_object('approvalId', v.id, 'callId', v.call_id))
    from baton.approvals v left join baton.tool_calls c on c.agent_uid = v.agent_uid and c.call_id = v.call_id
    where v.agent_uid = a.agent_uid and v.state = 'pending' and c.state is distinct from 'approval_required'
    union all select baton.finding('approval_missing', c.run_id, jsonb_build_object('callId', c.call_id, 'tool', c.name))
    from baton.tool_calls c join baton.runs x on x.run_id = c.run_id and baton.is_open(x.state) where c.agent_uid = a.agent_uid and c.state = 'approval_required' and not c.entered
      and not exists (select from baton.approvals v where v.agent_uid = c.agent_uid and v.run_id = c.run_id and v.call_id = c.call_id and v.state = 'pending')
    union all select baton.finding('wait_orphan', c.run_id, jsonb_build_object('callId', w.call_id))
    from baton.external_waits w left join baton.tool_calls c on c.agent_uid = w.agent_uid and c.call_id = w.call_id
    where w.agent_uid = a.agent_uid and c.state is distinct from 'waiting_external'
    union all select baton.finding('wait_missing', c.run_id, jsonb_build_object('callId', c.call_id))
    from baton.tool_calls c where c.agent_uid = a.agent_uid and c.state = 'waiting_external' and not c.entered
      and not exists (select from baton.external_waits w where w.agent_uid = c.agent_uid and w.call_id = c.call_id)
    union all select baton.finding('outbox_stuck', o.data ->> 'runId', jsonb_build_object('outboxId', o.id, 'kind', o.kind, 'dueAt', o.due_at))
    from baton.outbox o where o.agent_uid = a.agent_uid and o.sent_at is null and greatest(o.due_at, o.created_at) < late) f);
end $$;

-- What a run says it has cost and reserved against the ledger, which is kept 400 days.
create or replace function baton.money_findings(a baton.agents) returns jsonb language plpgsql stable set search_path = '' as $$
begin
  return (select coalesce(jsonb_agg(f.finding), '[]') from (
    select r.*, coalesce(l.cost, 0) as cost, coalesce(l.reserved, 0) as reserved from baton.runs r
    left join lateral (select sum(v.cost_micros) filter (where v.state <> 'reserved') as cost, sum(v.micros) filter (where v.state = 'reserved') as reserved
      from baton.reservations v where v.run_id = r.run_id) l on true
    where r.agent_uid = a.agent_uid and r.created_at > baton.clock() - interval '390 days') x
  cross join lateral (
    select baton.finding('run_money_differs', x.run_id, jsonb_build_object('field', 'costMicros', 'is', x.cost_micros, 'shouldBe', x.cost)) as finding where x.cost_micros <> x.cost
    union all select baton.finding('run_money_differs', x.run_id, jsonb_build_object('field', 'reservedMicros', 'is', x.reserved_micros, 'shouldBe', x.reserved))
    where x.reserved_micros <> x.reserved
    union all select baton.finding('reservation_open', x.run_id, jsonb_build_object('micros', x.reserved)) where x.reserved > 0 and not baton.is_open(x.state)) f);
end $$;

-- Everything about one agent. Called in the statement that reads the agent's row, so that all of it is one snapshot.
create or replace function baton.findings(a baton.agents) returns jsonb language plpgsql stable set search_path = '' as $$
begin
  return baton.history_findings(a) || baton.counter_findings(a) || baton.work_findings(a) || baton.money_findings(a);
end $$;

-- The counters of budgets in their present period against the ledger, entry by entry as rebuild_counters counts it.
create or replace function baton.budget_findings(env text, tenant text) returns jsonb language plpgsql stable set search_path = '' as $$
begin
  return (with counters as (select * from baton.budget_totals c where c.environment = env and c.tenant_id = tenant and c.period_start = baton.period_start(c.period)),
    ledger as (select k.period, l.* from (select distinct split_part(c.scope, ':', 1) as kind, c.period, c.period_start from counters c) k cross join lateral (
      select baton.ledger_scope(v, k.kind) as scope, sum(case when v.state = 'reserved' then 0 else v.cost_micros end) as spent,
        sum(case when v.state = 'reserved' then v.micros else 0 end) as reserved
      from baton.reservations v where v.environment = env and (tenant = '' or v.tenant_id = tenant) and v.created_at >= k.period_start group by 1) l)
    select coalesce(jsonb_agg(baton.finding('budget_drift', null, jsonb_build_object('scope', c.scope, 'period', c.period, 'tenant', c.tenant_id, 'spentMicros', c.spent_micros,
      'shouldBeSpent', coalesce(l.spent, 0) + coalesce(h.spent_micros, 0), 'reservedMicros', c.reserved_micros, 'shouldBeReserved', coalesce(l.reserved, 0))) order by c.key), '[]')
    from counters c left join ledger l on l.period = c.period and l.scope = c.scope left join baton.budget_carried h on h.key = c.key
    where (c.reserved_micros <> coalesce(l.reserved, 0)
      -- The ledger is shorter than a lifetime.
      or case when c.period = 'lifetime' then c.spent_micros < coalesce(l.spent, 0) else c.spent_micros <> coalesce(l.spent, 0) + coalesce(h.spent_micros, 0) end)
      -- Nothing is counted where a limit was lifted; when one applies again, the counter is made anew.
      and exists (select from unnest(baton.limits_for(env, tenant, array[c.scope])) b where b.key = c.key));
end $$;

-- {agent} of an authorized request.
create or replace function baton.consistency(p jsonb) returns json language plpgsql set search_path = '' as $$
declare
  a baton.agents := baton.find_agent(p);
begin
  if a.agent_uid is null then return baton.refuse('agent_not_found'); end if;
  return (select json_build_object('ok', true, 'now', baton.clock(), 'agentId', x.id, 'agentUid', x.agent_uid, 'findings', baton.findings(x),
    'repairs', (select count(*) from baton.repairs k where k.agent_uid = x.agent_uid)) from baton.agents x where x.agent_uid = a.agent_uid);
end $$;

-- {environment, tenant?, after?, repair} -> {data: agents with findings, checked, next, budgets, outbox}. The command line's walk over all agents, 2 s a
-- call; at its end the counters of budgets. With repair the busy ones are left as they are.
create or replace function baton.fsck(p jsonb) returns json language plpgsql set search_path = '' set lock_timeout = '5s' as $$
declare
  env text := p ->> 'environment';
  until timestamptz := clock_timestamp() + interval '2 seconds';
  mend boolean := coalesce((p ->> 'repair')::boolean, false);
  place uuid := (p ->> 'after')::uuid;
  checked integer := 0;
  seen integer := 0;
  data jsonb := '[]';
  budgets jsonb := '[]';
  rows jsonb := '[]';
  a baton.agents;
  -- Null where somebody else holds it.
  held baton.agents;
  f jsonb;
  x record;
begin
  for a in select * from baton.agents g where g.agent_uid > coalesce(place, '00000000-0000-0000-0000-000000000000') order by g.agent_uid limit 500 loop
    seen := seen + 1;
    place := a.agent_uid;
    continue when a.environment <> env or a.tenant_id <> coalesce(p ->> 'tenant', a.tenant_id);
    checked := checked + 1;
    select baton.findings(g) into f from baton.agents g where g.agent_uid = a.agent_uid;
    if f <> '[]' and mend then
      select * into held from baton.agents g where g.agent_uid = a.agent_uid for update skip locked;
      if held.agent_uid is not null and not baton.lease_live(held) then f := baton.repair_locked(held, 'fsck', null); else f := jsonb_build_object('findings', f, 'busy', true); end if;
      rows := rows || coalesce(f -> 'outbox', '[]');
    elsif f <> '[]' then
      f := jsonb_build_object('findings', f);
    end if;
    if f <> '[]' then data := data || jsonb_build_array(f - 'outbox' || jsonb_build_object('agentId', a.id, 'agentUid', place, 'tenant', a.tenant_id)); end if;
    -- One repair a transaction: it may touch counters, and those come after all agents (docs/decisions/0016).
    exit when clock_timestamp() > until or f ? 'repaired';
  end loop;
  -- In a call of their own after the last repair, for the ledger is locked before counters.
  if seen < 500 and clock_timestamp() <= until and not data @? '$[*].repaired' then
    place := null;
    for x in select t.id from baton.tenants t where t.environment = env and t.id = coalesce(p ->> 'tenant', t.id) union all select '' where p ->> 'tenant' is null loop
      f := baton.budget_findings(env, x.id);
      continue when f = '[]';
      budgets := budgets || f;
      if mend then
        lock table baton.reservations in share row exclusive mode;
        perform baton.lock_counter(k.key) from (select baton.counter_key(env, x.id, d.value -> 'details' ->> 'scope', d.value -> 'details' ->> 'period') as key
          from jsonb_array_elements(f) d order by 1) k;
        -- Where the ledger has nothing, nothing would be written.
        update baton.budget_counters c set spent_micros = case when c.period = 'lifetime' then c.spent_micros else coalesce((select h.spent_micros from baton.budget_carried h where h.key = c.key), 0) end,
          reserved_micros = 0, reserved_tokens = 0
        from jsonb_array_elements(f) d where c.key = baton.counter_key(env, x.id, d.value -> 'details' ->> 'scope', d.value -> 'details' ->> 'period');
        perform baton.rebuild_counters(env, x.id, d.value -> 'details' ->> 'scope', d.value -> 'details' ->> 'period') from jsonb_array_elements(f) d;
        perform baton.write_audit(jsonb_build_object('tenant', x.id, 'environment', env, 'actor', 'fsck', 'action', 'budget.repair', 'decision', 'recorded', 'data', f));
      end if;
    end loop;
  end if;
  return json_build_object('ok', true, 'data', data, 'checked', checked, 'next', place, 'budgets', budgets, 'outbox', rows);
end $$;
