-- What calls have really cost: settlements, estimates for the dead, thresholds. Also whether a message may come in.

-- Notes what the counters of a reservation must be told; book_money tells them, last and in order.
create or replace function baton.note_money(w baton.work, keys text[], spent bigint, reserved bigint, tokens bigint, reserved_tokens bigint, calls integer) returns baton.work language plpgsql set search_path = '' as $$
begin
  if keys <> '{}' then
    w.money := coalesce(w.money, '[]') || jsonb_build_object('agent', (w.a).agent_uid, 'keys', keys, 'spent', spent, 'reserved', reserved, 'tokens', tokens,
      'reservedTokens', reserved_tokens, 'calls', calls);
  end if;
  return w;
end $$;

-- One entry for each paid call, with what was expected, what it cost and what the run has cost with it.
create or replace function baton.audit_cost(w baton.work, v baton.reservations, cost bigint, code text, usage jsonb) returns void language plpgsql set search_path = '' as $$
begin
  perform baton.write_audit(jsonb_build_object('tenant', v.tenant_id, 'environment', v.environment, 'actor', v.created_by, 'agentUid', v.agent_uid,
    'agentId', v.agent_id, 'runId', v.run_id, 'traceId', substr((w.r).traceparent, 4, 32), 'action', 'model.call',
    'decision', 'allowed', 'code', code, 'estimateMicros', v.micros, 'costMicros', cost, 'totalMicros', (w.r).cost_micros,
    'data', jsonb_build_object('reservation', v.id, 'model', v.model, 'step', v.step, 'usage', usage)));
end $$;

-- Settles a reservation at its real cost, which replaces an estimate too: the one write that a stale epoch may still make. A cost above what was
-- reserved is booked in full, and told; the limits it passes stop what comes after.
create or replace function baton.settle_one(w baton.work, s jsonb) returns baton.work language plpgsql set search_path = '' as $$
declare
  v baton.reservations;
  cost bigint;
  used bigint := coalesce((s -> 'usage' ->> 'inputTokens')::bigint + (s -> 'usage' ->> 'outputTokens')::bigint, 0);
  estimated boolean := coalesce((s ->> 'estimated')::boolean, false);
  made boolean;
  was_estimated boolean;
begin
  select * into v from baton.reservations x where x.id = s ->> 'id' and x.run_id = (w.r).run_id for update;
  if not found or v.state = 'settled' then return w; end if;
  was_estimated := v.state = 'estimated';
  -- Null: nobody knows what it cost, so it is booked in full.
  cost := coalesce((s ->> 'costMicros')::bigint, v.micros);
  if estimated then used := v.tokens; end if;
  made := estimated or cost > 0 or used > 0;
  w.r.cost_micros := (w.r).cost_micros + cost - case when was_estimated then v.cost_micros else 0 end;
  w.r.reserved_micros := (w.r).reserved_micros - case when was_estimated then 0 else v.micros end;
  w := baton.note_money(w, v.charges, cost - case when was_estimated then v.cost_micros else 0 end, case when was_estimated then 0 else -v.micros end,
    used - case when was_estimated then v.tokens else 0 end, case when was_estimated then 0 else -v.tokens end, case when made then 0 else -1 end);
  update baton.reservations x set state = case when estimated then 'estimated' else 'settled' end, cost_micros = cost, usage = s -> 'usage',
    settled_at = baton.clock() where x.id = v.id;
  if cost > v.micros and baton.is_open((w.r).state) then
    w := baton.append_event(w, 'monitor', 'budget', jsonb_build_object('overrun', true, 'reservedMicros', v.micros, 'costMicros', cost, 'model', v.model));
  end if;
  if made then
    perform baton.audit_cost(w, v, cost, case when estimated then 'estimated' when cost > v.micros then 'overrun' end, s -> 'usage');
  end if;
  return w;
end $$;

-- {agentUid, runId, settle: [{id, costMicros, usage, estimated}]} from an executor that lost its lease. The ledger outlives agent and run.
create or replace function baton.settle(p jsonb) returns json language plpgsql set search_path = '' as $$
declare
  w baton.work;
  s jsonb;
begin
  select a into w.a from baton.agents a where a.agent_uid = (p ->> 'agentUid')::uuid for update;
  select r into w.r from baton.runs r where r.run_id = p ->> 'runId';
  if (w.r).run_id is null then
    if not exists (select from baton.reservations v where v.run_id = p ->> 'runId') then return baton.refuse('run_not_found'); end if;
    w.r.run_id := p ->> 'runId';
  end if;
  for s in select * from jsonb_array_elements(p -> 'settle') loop w := baton.settle_one(w, s); end loop;
  perform baton.save_run(w.r);
  update baton.agents a set last_event_seq = (w.a).last_event_seq where a.agent_uid = (w.a).agent_uid and a.last_event_seq < (w.a).last_event_seq;
  if w.money is not null then perform baton.book_money(w); end if;
  return json_build_object('ok', true);
end $$;

-- What an epoch reserved and did not settle is booked in full as estimated: by the end of the run, or by whoever ends the epoch.
create or replace function baton.book_estimates(w baton.work) returns baton.work language plpgsql set search_path = '' as $$
declare
  v baton.reservations;
begin
  for v in update baton.reservations x set state = 'estimated', cost_micros = x.micros, settled_at = baton.clock()
    where x.run_id = (w.r).run_id and x.state = 'reserved' returning x.*
  loop
    w.r.cost_micros := (w.r).cost_micros + v.micros;
    w.counts := coalesce(w.counts, '[]') || '[["baton_budget_checks_total", {"outcome": "granted"}, "", 1]]';
    w := baton.note_money(w, v.charges, v.micros, -v.micros, v.tokens, -v.tokens, 0);
    perform baton.audit_cost(w, v, v.micros, 'estimated', null);
  end loop;
  w.r.reserved_micros := 0;
  return w;
end $$;

-- All open runs of an agent that is about to be deleted.
create or replace function baton.book_agent(a baton.agents) returns void language plpgsql set search_path = '' as $$
declare
  w baton.work;
  r baton.runs;
begin
  w.a := a;
  for r in select x.* from baton.runs x where x.agent_uid = a.agent_uid and baton.is_open(x.state) loop
    w.r := r;
    w := baton.book_estimates(w);
  end loop;
  if w.money is not null then perform baton.book_money(w); end if;
end $$;

-- How much of its limits a counter has used: 100, 80 or 0 (percent).
create or replace function baton.threshold(c baton.budget_counters) returns integer language plpgsql immutable set search_path = '' as $$
declare
  used numeric := greatest(c.spent_micros::numeric / nullif(c.limit_micros, 0), c.tokens::numeric / nullif(c.limit_tokens, 0), c.calls::numeric / nullif(c.limit_calls, 0));
begin
  return case when used >= 1 then 100 when used >= 0.8 then 80 else 0 end;
end $$;

-- Tells the counters what was noted, one after the other in their order. Each threshold is told once, as an event and a webhook.
create or replace function baton.book_money(w baton.work) returns baton.work language plpgsql set search_path = '' as $$
declare
  d record;
  c baton.budget_counters;
  notice jsonb;
  run baton.runs;
begin
  for d in select k.key, sum((m.value ->> 'spent')::bigint) as spent, sum((m.value ->> 'reserved')::bigint) as reserved, sum((m.value ->> 'tokens')::bigint) as tokens,
      sum((m.value ->> 'reservedTokens')::bigint) as reserved_tokens, sum((m.value ->> 'calls')::bigint) as calls
    from jsonb_array_elements(w.money) m cross join lateral jsonb_array_elements_text(m.value -> 'keys') k(key) group by k.key order by k.key
  loop
    update baton.budget_counters x set spent_micros = x.spent_micros + d.spent, reserved_micros = x.reserved_micros + d.reserved, tokens = x.tokens + d.tokens,
      reserved_tokens = x.reserved_tokens + d.reserved_tokens, calls = x.calls + d.calls where x.key = d.key returning x.* into c;
    if found and baton.threshold(c) > c.told then
      update baton.budget_counters x set told = baton.threshold(c) where x.key = d.key;
      notice := jsonb_build_object('scope', c.scope, 'period', c.period, 'level', baton.threshold(c), 'limitMicros', c.limit_micros, 'spentMicros', c.spent_micros,
        'reservedMicros', c.reserved_micros, 'limitTokens', c.limit_tokens, 'tokens', c.tokens, 'limitCalls', c.limit_calls, 'calls', c.calls,
        'resetsAt', baton.resets_at(c.period));
      if baton.threshold(c) >= 100 then
        perform baton.raise_alert(c.environment, 'budget:' || c.tenant_id || ':' || c.scope || ':' || c.period, format('Baton (%s): the budget of %s (%s) is used up%s.', c.environment, c.scope,
          concat_ws(', ', nullif(c.tenant_id, ''), c.period), coalesce(' until ' || to_char(baton.resets_at(c.period) at time zone 'UTC', 'YYYY-MM-DD HH24:MI') || ' UTC', '')));
      end if;
      if (w.a).agent_uid is null then continue; end if;
      w := baton.write_webhook(w, 'budget.threshold', jsonb_build_object('budget', notice));
      -- A run that has ended has no more events: then it is one of the agent's.
      run := w.r;
      if not baton.is_open(run.state) then w.r := null; end if;
      w := baton.append_event(w, 'monitor', 'budget', jsonb_strip_nulls(notice));
      w.r := run;
      update baton.agents a set last_event_seq = (w.a).last_event_seq where a.agent_uid = (w.a).agent_uid;
    end if;
  end loop;
  w.money := null;
  return w;
end $$;

-- What several agents have noted in one transaction, told in the order of the counters over all of them. Each threshold is told by an agent
-- that counts there.
create or replace function baton.book_together(money jsonb) returns jsonb language plpgsql set search_path = '' as $$
declare
  w baton.work;
  d record;
  rows jsonb := '[]';
begin
  for d in select k.key, jsonb_agg(m.value || jsonb_build_object('keys', jsonb_build_array(k.key))) as notes, min(m.value ->> 'agent') as agent
    from jsonb_array_elements(money) m cross join lateral jsonb_array_elements_text(m.value -> 'keys') k(key) group by k.key order by k.key
  loop
    w := null;
    select a into w.a from baton.agents a where a.agent_uid = d.agent::uuid;
    w.money := d.notes;
    w := baton.book_money(w);
    rows := rows || coalesce(w.rows, '[]');
  end loop;
  return rows;
end $$;

-- Whether a new message has room in the budgets: for its first call where that is known and comes at once, else whether one is used up.
-- The run's own limit is no matter of the message: it ends the run, by name.
create or replace function baton.budget_refusal(w baton.work, p jsonb) returns json language plpgsql set search_path = '' as $$
declare
  b baton.budget_limit;
  c baton.budget_counters;
  call jsonb;
  free boolean := (w.a).settings -> 'price' ->> 'inputMicrosPerMillion' = '0' and (w.a).settings -> 'price' ->> 'outputMicrosPerMillion' = '0';
  refusal jsonb;
begin
  w.r := null;
  w.r.created_by := p ->> 'caller';
  if (w.a).active_run is null and nullif(p -> 'execute', 'null') is not null then
    w.a.window_tokens := (w.a).window_tokens + (p -> 'message' ->> 'estTokens')::bigint;
    call := baton.first_reservation(w, p -> 'execute' -> 'reserve');
  end if;
  foreach b in array baton.limits_for((w.a).environment, (w.a).tenant_id, baton.scopes_of(w.a, w.r)) loop
    if call is not null and num_nonnulls(b.key, b.limit_tokens, b.limit_calls, b.max_per_call_micros) = 1 and b.limit_micros >= (call ->> 'micros')::bigint
      + coalesce((select x.spent_micros + x.reserved_micros from baton.budget_counters x where x.key = b.key), 0) then continue; end if;
    c := baton.counted(w, b, false);
    if call is not null then
      refusal := (baton.fit(b, c, nullif(call -> 'least', 'null'), (call ->> 'micros')::bigint, coalesce((call ->> 'tokens')::bigint, 0))).refusal;
    elsif not free and c.spent_micros >= b.limit_micros then
      refusal := baton.refused_by(b, c, 'micros', null);
    elsif c.tokens >= b.limit_tokens or c.calls >= b.limit_calls then
      refusal := baton.refused_by(b, c, case when c.tokens >= b.limit_tokens then 'tokens' else 'calls' end, null);
    end if;
    if refusal is not null then
      perform baton.count_refusal((w.a).environment, refusal);
      return baton.refuse('budget_exceeded', refusal);
    end if;
  end loop;
  return null;
end $$;
