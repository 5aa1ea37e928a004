-- Setting and lifting switches, and the work in batches that follows (0012 has what the engine reads).

-- The agents that the work concerns, from its cursor on.
create or replace function baton.switched_agents(t baton.switch_work, most integer) returns uuid[] language plpgsql stable set search_path = '' as $$
declare
  now_at timestamptz := baton.clock();
  target uuid;
begin
  if t.scope like 'run:%' then
    select r.agent_uid into target from baton.runs r where r.run_id = substr(t.scope, 5) and r.tenant_id = t.tenant_id and r.environment = t.environment;
  elsif t.scope like 'agent:%' then
    select a.agent_uid into target from baton.agents a where a.tenant_id = t.tenant_id and a.id = substr(t.scope, 7) and a.environment = t.environment;
  end if;
  if t.scope like 'run:%' or t.scope like 'agent:%' then
    return array(select target where target is not null and t.cursor is null);
  end if;
  return array(
    select distinct r.agent_uid from baton.runs r join baton.agents a using (agent_uid)
    where r.environment = t.environment and r.ended_at is null and r.agent_uid > coalesce(t.cursor, '00000000-0000-0000-0000-000000000000')
      and r.tenant_id = any (case when t.tenant_id <> '' then array[t.tenant_id] else array(select n.id from baton.tenants n where n.environment = t.environment) end)
      and (t.scope in ('global', 'tenant') or t.scope = 'user:' || coalesce(r.owner_id, a.owner_id) or t.scope = r.created_by)
      and (t.kind = 'lift' and r.wait_kind = 'hold' or t.kind = 'kill' and (r.state = 'queued' or r.stop_requested is distinct from 'killed' or a.lease_owner is null or a.lease_until <= now_at))
    order by r.agent_uid limit most);
end $$;

-- One batch: agents one by one, those that somebody else has locked are left for the next round. money: what the counters must be told.
drop function if exists baton.work_off(baton.switch_work, integer);
create or replace function baton.work_off(t baton.switch_work, most integer, out ended integer, out resumed integer, out more boolean, out rows jsonb, out money jsonb)
language plpgsql set search_path = '' as $$
declare
  w baton.work;
  x record;
  uid uuid;
  uids uuid[] := baton.switched_agents(t, most);
begin
  ended := 0;
  resumed := 0;
  rows := '[]';
  money := '[]';
  foreach uid in array uids loop
    w := null;
    select a into w.a from baton.agents a where a.agent_uid = uid for update skip locked;
    if not found then
      t.skipped := true;
      continue;
    end if;
    select r into w.r from baton.runs r where r.run_id = (w.a).active_run;
    select * into x from baton.apply_switches(w);
    ended := ended + x.ended;
    resumed := resumed + x.resumed;
    rows := rows || coalesce((x.w).rows, '[]');
    money := money || coalesce((x.w).money, '[]');
  end loop;
  more := cardinality(uids) >= most;
  if more then
    update baton.switch_work u set cursor = uids[cardinality(uids)], skipped = t.skipped
    where (u.environment, u.tenant_id, u.scope, u.kind) = (t.environment, t.tenant_id, t.scope, t.kind);
  elsif not t.skipped and t.round_at >= t.created_at + interval '1 minute' then
    delete from baton.switch_work u where (u.environment, u.tenant_id, u.scope, u.kind) = (t.environment, t.tenant_id, t.scope, t.kind);
  else
    update baton.switch_work u set cursor = null, skipped = false, round_at = baton.clock()
    where (u.environment, u.tenant_id, u.scope, u.kind) = (t.environment, t.tenant_id, t.scope, t.kind);
  end if;
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

-- {environment, limit} -> {ok, ended, resumed, more, outbox}: what switches have left to do, one batch. The sweeper's part, and the route's
-- that has set a wide one.
create or replace function baton.apply_switch_work(p jsonb) returns json language plpgsql set search_path = '' as $$
declare
  t baton.switch_work;
  x record;
  most integer := least(coalesce((p ->> 'limit')::integer, 200), 500);
  ended integer := 0;
  resumed integer := 0;
  more boolean := false;
  rows jsonb := '[]';
  money jsonb := '[]';
begin
  for t in select * from baton.switch_work u where u.environment = p ->> 'environment' order by u.cursor is null, u.round_at limit 20 for update skip locked loop
    if t.kind = 'kill' and not exists (select from baton.switches s where (s.environment, s.tenant_id, s.scope, s.mode) = (t.environment, t.tenant_id, t.scope, 'kill')) then
      delete from baton.switch_work u where (u.environment, u.tenant_id, u.scope, u.kind) = (t.environment, t.tenant_id, t.scope, t.kind);
      continue;
    end if;
    select * into x from baton.work_off(t, most);
    ended := ended + x.ended;
    resumed := resumed + x.resumed;
    rows := rows || x.rows;
    money := money || x.money;
    more := more or x.more;
    most := most - x.ended - x.resumed;
    exit when most <= 0;
  end loop;
  return json_build_object('ok', true, 'ended', ended, 'resumed', resumed, 'more', more, 'outbox', rows || baton.book_together(money));
end $$;

-- The work of a switch that has just changed: the first batch in the same transaction.
create or replace function baton.begin_switch_work(s baton.switches, work_kind text, out ended integer, out resumed integer, out more boolean, out rows jsonb)
language plpgsql set search_path = '' as $$
declare
  t baton.switch_work;
  money jsonb;
begin
  insert into baton.switch_work as u (environment, tenant_id, scope, kind) values (s.environment, s.tenant_id, s.scope, work_kind)
  on conflict (environment, tenant_id, scope, kind) do update set cursor = null, skipped = false, round_at = baton.clock(), created_at = baton.clock()
  returning * into t;
  select x.ended, x.resumed, x.more, x.rows, x.money into ended, resumed, more, rows, money from baton.work_off(t, 200) x;
  rows := rows || baton.book_together(money);
end $$;

-- Who may switch this: admins of a tenant all but global, which is the operator's.
create or replace function baton.switching_refusal(p jsonb, action text) returns json language plpgsql set search_path = '' as $$
begin
  if not coalesce((p ->> 'ownOnly')::boolean, false) and (p ->> 'scope' <> 'global' or p -> 'credential' ? 'operator') then return null; end if;
  perform baton.audit_request(p, jsonb_build_object('action', action, 'decision', 'refused', 'code', 'forbidden', 'reason', p ->> 'reason', 'scope', p ->> 'scope'));
  return baton.refuse('forbidden', jsonb_build_object('scope', p ->> 'scope'));
end $$;

-- {scope, mode, reason} of an authorized admin. The same again changes nothing and keeps the first reason.
create or replace function baton.set_switch(p jsonb) returns json language plpgsql set search_path = '' set lock_timeout = '5s' as $$
declare
  s baton.switches;
  x record;
  changed boolean;
  of_tenant text := case when p ->> 'scope' <> 'global' then p ->> 'tenant' else '' end;
  refusal json := baton.switching_refusal(p, 'switch.set');
begin
  if refusal is not null then return refusal; end if;
  insert into baton.switches as t (environment, tenant_id, scope, mode, reason, actor)
  values (p ->> 'environment', of_tenant, p ->> 'scope', p ->> 'mode', p ->> 'reason', p ->> 'caller')
  on conflict (environment, tenant_id, scope) do update set mode = excluded.mode, reason = excluded.reason, actor = excluded.actor, created_at = excluded.created_at
  where t.mode <> excluded.mode returning * into s;
  changed := found;
  if changed then
    perform baton.count(s.environment, jsonb_build_array(jsonb_build_array('baton_switches_total', jsonb_build_object('mode', s.mode, 'scope', split_part(s.scope, ':', 1)), '', 1)));
  end if;
  if not changed then select * into s from baton.switches t where (t.environment, t.tenant_id, t.scope) = (p ->> 'environment', of_tenant, p ->> 'scope'); end if;
  perform baton.audit_request(p, jsonb_build_object('action', 'switch.set', 'decision', 'allowed', 'reason', p ->> 'reason', 'scope', s.scope,
    'data', jsonb_build_object('mode', p ->> 'mode', 'changed', changed)));
  if s.mode = 'kill' then
    select * into x from baton.begin_switch_work(s, 'kill');
  else
    select 0 as ended, false as more, '[]'::jsonb as rows into x;
  end if;
  return json_build_object('ok', true, 'switch', baton.switch_json(s), 'changed', changed, 'ended', x.ended, 'more', x.more, 'outbox', x.rows,
    'agentUid', baton.switched_agent(s));
end $$;

-- The one agent that a narrow switch concerns: only its executor needs to be told.
create or replace function baton.switched_agent(s baton.switches) returns uuid language plpgsql stable set search_path = '' as $$
declare
  t baton.switch_work;
begin
  if s.scope not like 'run:%' and s.scope not like 'agent:%' then return null; end if;
  t.environment := s.environment;
  t.tenant_id := s.tenant_id;
  t.scope := s.scope;
  return (baton.switched_agents(t, 1))[1];
end $$;

-- {scope, reason?} Runs that waited for it become due again; killed runs stay ended.
create or replace function baton.lift_switch(p jsonb) returns json language plpgsql set search_path = '' set lock_timeout = '5s' as $$
declare
  s baton.switches;
  x record;
  refusal json := baton.switching_refusal(p, 'switch.lift');
begin
  if refusal is not null then return refusal; end if;
  delete from baton.switches t where t.environment = p ->> 'environment' and t.scope = p ->> 'scope'
    and t.tenant_id = case when p ->> 'scope' <> 'global' then p ->> 'tenant' else '' end returning * into s;
  if not found then return baton.refuse('switch_not_found', jsonb_build_object('scope', p ->> 'scope')); end if;
  perform baton.audit_request(p, jsonb_build_object('action', 'switch.lift', 'decision', 'allowed', 'reason', coalesce(p ->> 'reason', s.reason), 'scope', s.scope,
    'data', baton.switch_json(s)));
  -- A kill may have taken the place of a hold: what that held goes on, too.
  select * into x from baton.begin_switch_work(s, 'lift');
  return json_build_object('ok', true, 'switch', baton.switch_json(s), 'resumed', x.resumed, 'more', x.more, 'outbox', x.rows);
end $$;

-- The switches that a tenant is under, those of the whole environment included.
create or replace function baton.list_switches(p jsonb) returns json language plpgsql stable set search_path = '' as $$
begin
  return (
    select json_build_object('ok', true, 'data', coalesce(json_agg(baton.switch_json(s) order by s.scope), '[]'))
  from (select * from baton.switches t where t.environment = p ->> 'environment' and t.tenant_id in ('', p ->> 'tenant')
    and (p ->> 'after' is null or t.scope > p ->> 'after') order by t.scope limit (p ->> 'limit')::integer) s);
end $$;

-- {filter: {state?, stopReason?, template?, from?, to?}, limit, newRunIds, idempotency?} -> {ok, replayed, data: [{runId, newRunId}]}: the newest
-- run of each agent where it fits, newest first. Each is then retried by itself, so that no transaction holds more than one agent.
create or replace function baton.retry_candidates(p jsonb) returns json language plpgsql set search_path = '' set lock_timeout = '3s' as $$
declare
  f jsonb := coalesce(p -> 'filter', '{}');
  k baton.idempotency;
  given_key text := p -> 'idempotency' ->> 'key';
  pairs jsonb;
begin
  if given_key is not null then
    insert into baton.idempotency (tenant_id, caller, key, hash) values (p ->> 'tenant', baton.line_of(p), given_key, p -> 'idempotency' ->> 'hash') on conflict do nothing;
    if not found then
      select * into k from baton.idempotency i where i.tenant_id = p ->> 'tenant' and i.caller = baton.line_of(p) and i.key = given_key;
      if k.hash is distinct from p -> 'idempotency' ->> 'hash' then return baton.refuse('idempotency_mismatch'); end if;
      return json_build_object('ok', true, 'replayed', true, 'data', k.chosen);
    end if;
  end if;
  select coalesce(jsonb_agg(jsonb_build_object('runId', c.run_id, 'newRunId', p -> 'newRunIds' ->> (c.place - 1)) order by c.place), '[]') into pairs from (
    select x.run_id, row_number() over (order by x.run_id desc)::integer as place from (
      select r.run_id from baton.runs r join baton.agents a using (agent_uid)
      where r.tenant_id = p ->> 'tenant' and r.environment = p ->> 'environment'
        and r.state in ('failed', 'cancelled', 'killed', 'budget_exceeded', 'expired')
        and r.state = coalesce(f ->> 'state', case when f ->> 'stopReason' is not null then r.state else 'failed' end)
        and (f ->> 'stopReason' is null or r.stop_reason = f ->> 'stopReason') and (f ->> 'template' is null or a.template = f ->> 'template')
        and (f ->> 'from' is null or r.ended_at >= (f ->> 'from')::timestamptz) and (f ->> 'to' is null or r.ended_at < (f ->> 'to')::timestamptz)
        and (not coalesce((p ->> 'ownOnly')::boolean, false) or a.owner_id = (p ->> 'ownerId')::uuid)
        and not exists (select from baton.runs n where n.agent_uid = r.agent_uid and n.run_id > r.run_id)
      order by r.run_id desc limit least((p ->> 'limit')::integer, 100)) x) c;
  if given_key is not null then
    update baton.idempotency i set chosen = pairs where i.tenant_id = p ->> 'tenant' and i.caller = baton.line_of(p) and i.key = given_key;
  end if;
  return json_build_object('ok', true, 'replayed', false, 'data', pairs);
end $$;
