-- What calls have really cost: settlements, estimates for the dead, thresholds. Also whether a message may come in.

-- An entry is of the period whose counters it stands in.
alter table baton.reservations alter column created_at set default baton.began();

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
drop function if exists baton.audit_cost(baton.work, baton.reservations, bigint, text, jsonb);
create or replace function baton.audit_cost(w baton.work, v baton.reservations, cost bigint, code text, usage jsonb) returns boolean language plpgsql set search_path = '' as $$
begin
  return baton.write_audit(jsonb_build_object('tenant', v.tenant_id, 'environment', v.environment, 'actor', v.created_by, 'agentUid', v.agent_uid,
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
  audited boolean;
begin
  lock table baton.reservations in row exclusive mode; -- as in reserve: whoever sets a limit marks entries, and must not meet one that is locked
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
    audited := baton.audit_cost(w, v, cost, case when estimated then 'estimated' when cost > v.micros then 'overrun' end, s -> 'usage');
  else
    w := baton.uncount_call(w, v.created_at);
  end if;
  return w;
end $$;

-- {agentUid, runId, settle: [{id, costMicros, usage, estimated}]} from an executor that lost its lease. The ledger outlives agent and run.
create or replace function baton.settle(p jsonb) returns json language plpgsql set search_path = '' set lock_timeout = '5s' as $$
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

-- How much of its limits a counter has used: 100, 80 or 0 (percent).
create or replace function baton.threshold(c baton.budget_counters) returns integer language plpgsql immutable set search_path = '' as $$
declare
  used numeric := greatest(c.spent_micros::numeric / nullif(c.limit_micros, 0), c.tokens::numeric / nullif(c.limit_tokens, 0), c.calls::numeric / nullif(c.limit_calls, 0));
begin
  return case when used >= 1 then 100 when used >= 0.8 then 80 else 0 end;
end $$;

-- What each counter is to be told, of money noted and of a reservation that it must still agree to, in the order of counters.
create or replace function baton.told_counters(money jsonb, held baton.reservations)
returns setof baton.counter_change language plpgsql stable set search_path = '' as $$
begin
  return query select n.key, sum(n.spent)::bigint, sum(n.reserved)::bigint, sum(n.tokens)::bigint, sum(n.reserved_tokens)::bigint, sum(n.calls)::bigint from (
    select k.key, (m.value ->> 'spent')::bigint as spent, (m.value ->> 'reserved')::bigint as reserved, (m.value ->> 'tokens')::bigint as tokens,
      (m.value ->> 'reservedTokens')::bigint as reserved_tokens, (m.value ->> 'calls')::bigint as calls
    from jsonb_array_elements(coalesce(money, '[]')) m cross join lateral jsonb_array_elements_text(m.value -> 'keys') k(key)
    union all select c.key, 0, held.micros, 0, held.tokens, 1 from unnest(held.charges) c(key)) n
  group by n.key order by n.key;
end $$;

-- The one change that this comes to, where it is one: of most turns, whose tenant has a limit a day and no other. Its key is null where it is not.
create or replace function baton.only_change(money jsonb, held baton.reservations) returns baton.counter_change language plpgsql immutable set search_path = '' as $$
declare
  m jsonb := money -> 0;
begin
  if money is null and cardinality(held.charges) = 1 then return row(held.charges[1], 0, held.micros, 0, held.tokens, 1)::baton.counter_change; end if;
  if jsonb_array_length(money) = 1 and jsonb_array_length(m -> 'keys') = 1 and coalesce(cardinality(held.charges), 0) = 0 then
    return row(m -> 'keys' ->> 0, (m ->> 'spent')::bigint, (m ->> 'reserved')::bigint, (m ->> 'tokens')::bigint, (m ->> 'reservedTokens')::bigint, (m ->> 'calls')::bigint)::baton.counter_change;
  end if;
  return null;
end $$;

-- Counters that many runs change at once have parts.
create or replace function baton.is_shared(scope text) returns boolean language plpgsql immutable set search_path = '' as $$
begin
  return scope in ('tenant', 'global') or scope like 'key:%';
end $$;

-- Whether so much more of something fits and passes no threshold that must be told. In a shared counter each of the 8 parts may have one addition under
-- way that nobody else sees, each of at most a 64th of the limit: an eighth of it must stay free.
create or replace function baton.far_from(most bigint, used bigint, spent bigint, more bigint, more_spent bigint, told integer, shared boolean) returns boolean language plpgsql immutable set search_path = '' as $$
declare
  free bigint := case when shared then most / 8 else 0 end;
begin
  return most is null or (not shared or greatest(more, more_spent) <= most / 64) and used + greatest(more, 0) + free <= most
    and (told >= 100 or spent + greatest(more_spent, 0) + free < most * case when told < 80 then 0.8 else 1 end);
end $$;

create or replace function baton.roomy(c baton.budget_counters, spent bigint, reserved bigint, tokens bigint, reserved_tokens bigint, calls bigint) returns boolean language plpgsql immutable set search_path = '' as $$
declare
  shared boolean := baton.is_shared(c.scope);
begin
  return baton.far_from(c.limit_micros, c.spent_micros + c.reserved_micros, c.spent_micros, spent + reserved, spent, c.told, shared)
    and (c.limit_tokens is null or baton.far_from(c.limit_tokens, c.tokens + c.reserved_tokens, c.tokens, tokens + reserved_tokens, tokens, c.told, shared))
    and (c.limit_calls is null or baton.far_from(c.limit_calls, c.calls, c.calls, calls, calls, c.told, shared));
end $$;

-- Adds to this backend's part of a counter, or to the row of one that few share; false where that is not far from its limits.
create or replace function baton.add_to_counter(d baton.counter_change) returns boolean language plpgsql set search_path = '' as $$
begin
  update baton.budget_parts p set spent_micros = p.spent_micros + d.spent, reserved_micros = p.reserved_micros + d.reserved, tokens = p.tokens + d.tokens,
    reserved_tokens = p.reserved_tokens + d.reserved_tokens, calls = p.calls + d.calls
  where p.key = d.key and p.part = pg_backend_pid() % 8 and exists (select from baton.budget_totals t where t.key = d.key
    and baton.roomy(row(t.*)::baton.budget_counters, d.spent, d.reserved, d.tokens, d.reserved_tokens, d.calls));
  if found then return true; end if;
  update baton.budget_counters c set spent_micros = c.spent_micros + d.spent, reserved_micros = c.reserved_micros + d.reserved, tokens = c.tokens + d.tokens,
    reserved_tokens = c.reserved_tokens + d.reserved_tokens, calls = c.calls + d.calls
  where c.key = d.key and not baton.is_shared(c.scope) and baton.roomy(c, d.spent, d.reserved, d.tokens, d.reserved_tokens, d.calls);
  return found;
end $$;

-- Tells the counters what was noted, one after the other in their order. Each threshold is told once, as an event and a webhook.
create or replace function baton.book_money(w baton.work) returns baton.work language plpgsql set search_path = '' as $$
declare
  d baton.counter_change;
  c baton.budget_counters;
  notice jsonb;
  run baton.runs;
begin
  d := baton.only_change(w.money, null);
  if d.key is not null and baton.add_to_counter(d) then
    w.money := null;
    return w;
  end if;
  for d in select * from baton.told_counters(w.money, null) loop
    continue when baton.add_to_counter(d);
    perform baton.lock_counter(d.key);
    update baton.budget_counters x set spent_micros = x.spent_micros + d.spent, reserved_micros = x.reserved_micros + d.reserved, tokens = x.tokens + d.tokens,
      reserved_tokens = x.reserved_tokens + d.reserved_tokens, calls = x.calls + d.calls where x.key = d.key returning x.* into c;
    if found and baton.threshold(c) > c.told then
      update baton.budget_counters x set told = baton.threshold(c) where x.key = d.key;
      notice := jsonb_build_object('scope', c.scope, 'period', c.period, 'level', baton.threshold(c), 'limitMicros', c.limit_micros, 'spentMicros', c.spent_micros,
        'reservedMicros', c.reserved_micros, 'limitTokens', c.limit_tokens, 'tokens', c.tokens, 'limitCalls', c.limit_calls, 'calls', c.calls,
        'resetsAt', baton.resets_at(c.period));
      if baton.threshold(c) >= 100 then
        perform baton.alert_budget(c.environment, row(c.key, c.tenant_id, c.scope, c.period, c.limit_micros, c.limit_tokens, c.limit_calls, null)::baton.budget_limit);
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

-- True, or everything begins anew: a counter that had room until our part of it was ours.
create or replace function baton.still_roomy(of_key text, added boolean) returns boolean language plpgsql volatile set search_path = '' as $$
begin
  if added and exists (select from baton.budget_totals t where t.key = of_key and baton.roomy(row(t.*)::baton.budget_counters, 0, 0, 0, 0, 0)) then return true; end if;
  raise exception 'a budget came near its limit while it was asked' using errcode = '40001';
end $$;

-- Tells what was noted and reserves, where every counter is far from its limits: then nobody waits for long. A shared counter is looked at again when
-- the part is ours: what others have added meanwhile is seen then, and where a limit has come near all begins anew, on the other road.
create or replace function baton.add_to_counters(w baton.work, v baton.reservations) returns boolean language plpgsql set search_path = '' as $$
declare
  d baton.counter_change;
  added boolean;
  told boolean := false;
begin
  if exists (select from unnest(v.charges) k(key) left join unnest(w.limits) l on l.key = k.key left join baton.budget_counters c on c.key = k.key
    where l.key is null or c.key is null or l.max_per_call_micros is not null
      or (c.limit_micros, c.limit_tokens, c.limit_calls) is distinct from (l.limit_micros, l.limit_tokens, l.limit_calls)) then return false; end if;
  if w.money is not null or cardinality(v.charges) > 1 then
    if exists (select from baton.told_counters(w.money, v) t left join baton.budget_totals c on c.key = t.key
      where c.key is null or not baton.roomy(row(c.*)::baton.budget_counters, t.spent, t.reserved, t.tokens, t.reserved_tokens, t.calls)) then return false; end if;
  end if;
  d := baton.only_change(w.money, v);
  if d.key is not null then
    if not baton.add_to_counter(d) then return false; end if;
    return baton.still_roomy(d.key, true);
  end if;
  for d in select * from baton.told_counters(w.money, v) loop
    added := baton.add_to_counter(d);
    if not (added or told) then return false; end if;
    told := baton.still_roomy(d.key, added);
  end loop;
  return true;
end $$;

-- The last act of a transaction: tells the counters what was settled, and asks each whether it has room for what was reserved, in their order; all
-- agree, or it is taken back. Rows stay locked from here to the end of the transaction only. verdict null: it stands as it was told.
create or replace function baton.close_books(inout w baton.work, out verdict jsonb) language plpgsql set search_path = '' as $$
declare
  v baton.reservations;
  b baton.budget_limit;
  d baton.counter_change;
  f record;
  amount bigint;
  amount_tokens bigint;
  refusal jsonb;
begin
  if w.held is null then
    if w.money is not null then w := baton.book_money(w); end if;
    return;
  end if;
  select * into v from baton.reservations x where x.id = w.held;
  amount := v.micros;
  amount_tokens := v.tokens;
  if baton.add_to_counters(w, v) then
    w.money := null;
    w.held := null;
    return;
  end if;
  -- Alone with all of them, in their order, before the first is told; one that is missing is made in its place, for later ones would be in hand afterwards.
  for d in select * from baton.told_counters(w.money, v) loop
    select l.* into b from unnest(w.limits) l where l.key = d.key;
    if found then perform baton.counted(w, b, true); else perform baton.lock_counter(d.key); end if;
  end loop;
  if w.money is not null then w := baton.book_money(w); end if;
  foreach b in array w.limits loop
    if b.key is null then continue; end if;
    select * into f from baton.fit(b, baton.counted(w, b, true), w.lowest, amount, amount_tokens);
    refusal := f.refusal;
    exit when refusal is not null;
    amount := f.micros;
    amount_tokens := f.tokens;
  end loop;
  w.held := null;
  if refusal is not null then
    delete from baton.reservations x where x.id = v.id;
    verdict := baton.tell_refusal(w, refusal, v.micros);
    amount := 0;
  else
    update baton.budget_counters c set reserved_micros = c.reserved_micros + amount, reserved_tokens = c.reserved_tokens + amount_tokens, calls = c.calls + 1
    where c.key = any (v.charges);
    if amount < v.micros or amount_tokens < v.tokens then
      update baton.reservations x set micros = amount, tokens = amount_tokens, lowered = true where x.id = v.id;
      verdict := jsonb_build_object('reserved', 'granted', 'granted', jsonb_build_object('micros', amount, 'tokens', amount_tokens));
    end if;
  end if;
  if verdict is null then return; end if;
  w.r.reserved_micros := (w.r).reserved_micros - v.micros + amount;
  update baton.runs r set reserved_micros = (w.r).reserved_micros where r.run_id = (w.r).run_id;
end $$;
