-- What calls of tools cost and count: charged when they start, given back when they never ran.

-- Of a call that has been charged: {keys, reservation}, so that exactly that can be given back.
alter table baton.tool_calls add column if not exists charges jsonb;

-- Whether one call of a tool may start: its own limits count calls; what it costs counts for all scopes of the run, and so does what one call may cost.
-- It is paid when it starts.
-- begun: calls of the tool that start with it and are not marked yet.
create or replace function baton.charge_call(inout w baton.work, c baton.tool_calls, begun bigint, out refusal jsonb) language plpgsql set search_path = '' as $$
declare
  tool text := 'tool:' || c.name;
  b baton.budget_limit;
  count baton.budget_counters;
  v baton.reservations;
  tool_keys text[] := '{}';
begin
  v.charges := '{}';
  b.scope := 'run:' || (w.r).run_id;
  b.period := 'run';
  b.limit_micros := ((w.r).limits ->> 'maxCostMicros')::bigint;
  b.max_per_call_micros := ((w.r).limits ->> 'maxPerCallMicros')::bigint;
  refusal := (baton.fit(b, baton.counted(w, b, false), null, c.cost_micros, 0)).refusal;
  if refusal is not null then return; end if;
  foreach b in array w.limits loop
    continue when case when b.scope like 'tool:%' then b.scope <> tool else c.cost_micros = 0 end;
    count := baton.counted(w, b, true);
    if b.scope <> tool then b := row(b.key, b.tenant_id, b.scope, b.period, b.limit_micros, null, null, b.max_per_call_micros)::baton.budget_limit;
    elsif b.key is null then count.calls := count.calls + begun; end if;
    refusal := (baton.fit(b, count, null, c.cost_micros, 0)).refusal;
    if refusal is not null then return; end if;
    if b.key is not null then
      v.charges := v.charges || b.key;
      if b.scope = tool then tool_keys := tool_keys || b.key; end if;
    end if;
  end loop;
  w := baton.note_money(baton.note_money(w, v.charges, c.cost_micros, 0, 0, 0, 0), tool_keys, 0, 0, 0, 0, 1);
  if w.money is not null then w := baton.book_money(w); end if;
  v.id := case when c.cost_micros > 0 then baton.new_id('res') end;
  update baton.tool_calls t set charges = jsonb_build_object('keys', v.charges, 'reservation', v.id)
  where t.agent_uid = c.agent_uid and t.call_id = c.call_id;
  if v.id is null then return; end if;
  w.r.cost_micros := (w.r).cost_micros + c.cost_micros;
  insert into baton.reservations (id, tenant_id, environment, agent_uid, agent_id, owner_id, created_by, run_id, step, attempt, epoch, model, micros, charges, state, cost_micros, settled_at)
  values (v.id, (w.a).tenant_id, (w.a).environment, (w.a).agent_uid, (w.a).id, coalesce((w.r).owner_id, (w.a).owner_id), (w.r).created_by, (w.r).run_id,
    c.step, 0, (w.a).lease_epoch, tool, c.cost_micros, v.charges, 'settled', c.cost_micros, baton.clock()) returning * into v;
  perform baton.audit_run(w, jsonb_build_object('action', 'tool.call', 'decision', 'allowed', 'callId', c.call_id, 'scope', tool, 'reason', c.approval ->> 'id',
    'estimateMicros', c.cost_micros, 'costMicros', c.cost_micros, 'totalMicros', (w.r).cost_micros,
    'data', jsonb_build_object('attempt', 1, 'effect', c.effect, 'reservation', v.id)));
end $$;

-- Locks all counters that the calls about to start may touch, and those that were noted already, in the order of everybody; then tells the latter. The
-- limits stay with the work: looked for again they could be those of the next day, whose counters come before what is locked.
create or replace function baton.lock_counters(w baton.work, ids jsonb) returns baton.work language plpgsql set search_path = '' as $$
declare
  tools text[];
  paid boolean;
  b baton.budget_limit;
  k text;
begin
  lock table baton.reservations in row exclusive mode; -- as in reserve
  select array_agg(distinct 'tool:' || t.name), bool_or(t.cost_micros > 0) into tools, paid
  from baton.calls_named((w.a).agent_uid, ids) t;
  w.limits := baton.limits_for((w.a).environment, (w.a).tenant_id, case when paid then baton.scopes_of(w.a, w.r) else '{}' end || tools);
  for k in select l.key from unnest(w.limits) l where l.key is not null
    union select jsonb_array_elements_text(m.value -> 'keys') from jsonb_array_elements(coalesce(w.money, '[]')) m order by 1
  loop
    select l.key, l.tenant_id, l.scope, l.period, l.limit_micros, l.limit_tokens, l.limit_calls, l.max_per_call_micros into b from unnest(w.limits) l where l.key = k;
    if found then perform baton.counted(w, b, true); else perform baton.lock_counter(k); end if;
  end loop;
  return case when w.money is null then w else baton.book_money(w) end;
end $$;

-- A call that was charged when it started and of which its executor says that it never ran (a hook decided in its place, a limit of its rate
-- refused it, ...) costs nothing and is not counted. One that has begun before, in a process that died, stays paid.
create or replace function baton.refund_calls(w baton.work, calls jsonb) returns baton.work language plpgsql set search_path = '' as $$
declare
  c baton.tool_calls;
  keys text[];
begin
  for c in select * from baton.calls_named((w.a).agent_uid, jsonb_path_query_array(calls, '$[*] ? (@.unbegun == true).callId')) x where x.charges is not null and x.attempts = 1
  loop
    update baton.tool_calls t set charges = null where t.agent_uid = c.agent_uid and t.call_id = c.call_id;
    -- As in settle_one: a limit that was set meanwhile is marked in the entry, where there is one.
    lock table baton.reservations in row exclusive mode;
    keys := coalesce((select v.charges from baton.reservations v where v.id = c.charges ->> 'reservation'), array(select jsonb_array_elements_text(c.charges -> 'keys')));
    w := baton.note_money(w, keys, -c.cost_micros, 0, 0, 0, 0);
    w := baton.note_money(w, array(select x.key from baton.budget_counters x where x.key = any (keys) and x.scope = 'tool:' || c.name), 0, 0, 0, 0, -1);
    if c.cost_micros = 0 then continue; end if;
    w.r.cost_micros := (w.r).cost_micros - c.cost_micros;
    update baton.reservations v set cost_micros = 0 where v.id = c.charges ->> 'reservation';
    perform baton.audit_run(w, jsonb_build_object('action', 'tool.refund', 'decision', 'recorded', 'code', 'not_run', 'callId', c.call_id, 'scope', 'tool:' || c.name,
      'costMicros', -c.cost_micros, 'totalMicros', (w.r).cost_micros, 'data', jsonb_build_object('reservation', c.charges -> 'reservation')));
  end loop;
  return w;
end $$;

-- The calls that shall start now and have a price or a limit: one that does not fit fails with an error the model sees, and the run goes on.
create or replace function baton.charge_calls(w baton.work, ids jsonb) returns baton.work language plpgsql set search_path = '' as $$
declare
  c baton.tool_calls;
  x record;
  begun jsonb := '{}';
  locked boolean := false;
begin
  for c in select * from baton.calls_named((w.a).agent_uid, ids) t where t.charges is null and t.attempts = 0
      and t.state in ('pending', 'approved', 'executing') and (t.cost_micros > 0 or exists (select from baton.budgets b where b.environment = (w.a).environment
        and b.tenant_id = (w.a).tenant_id and b.scope in ('tool:' || t.name, 'tool:*')))
  loop
    if not locked then w := baton.lock_counters(w, ids); end if;
    locked := true;
    select * into x from baton.charge_call(w, c, coalesce((begun ->> c.name)::bigint, 0));
    w := x.w;
    if x.refusal is null then
      begun := begun || jsonb_build_object(c.name, coalesce((begun ->> c.name)::bigint, 0) + 1);
      continue;
    end if;
    perform baton.count_refusal(w, x.refusal);
    update baton.tool_calls t set state = 'failed', ended_at = baton.clock(), output = json_build_object('type', 'error-json', 'value', jsonb_build_object('ok', false,
        'errorType', 'budget_exceeded', 'message', 'The budget of ' || (x.refusal ->> 'scope') || ' has no room for this call; it was not executed.', 'retryable', false) || x.refusal),
      audit = t.audit || jsonb_build_object('at', baton.clock(), 'state', 'failed', 'note', 'budget_exceeded')
    where t.agent_uid = c.agent_uid and t.call_id = c.call_id returning t.* into c;
    perform baton.audit_run(w, jsonb_build_object('action', 'tool.call', 'decision', 'refused', 'code', 'budget_exceeded', 'scope', x.refusal -> 'scope', 'callId', c.call_id,
      'estimateMicros', c.cost_micros, 'totalMicros', (w.r).cost_micros, 'data', x.refusal));
    w := baton.ended_calls_events(w, jsonb_build_array(jsonb_build_object('callId', c.call_id)));
    w.refused := coalesce(w.refused, '[]') || jsonb_build_object('callId', c.call_id, 'output', c.output);
  end loop;
  return case when w.refused is null then w else baton.enter_results(w) end;
end $$;
