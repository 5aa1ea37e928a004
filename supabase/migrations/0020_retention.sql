-- Retention, complete deletion and export (5-data, Retention). Each call does a bounded piece of work and says whether there is more.

-- What a tenant keeps for another time than the defaults: {eventDays?, eventsPerAgent?, deliveryDays?, agentDays?}.
alter table baton.tenants add column if not exists retention jsonb not null default '{}';
-- A tenant that is being deleted: nothing new comes in, and the free text of its audit entries may go.
alter table baton.tenants add column if not exists erasing boolean not null default false;
-- Where the walk over the agents stands, so that no run of the job reads them all.
alter table baton.sweeps add column if not exists prune_cursor uuid;

-- Days and numbers; agentDays null: agents never go by age. Ledger, approvals and audit are kept 400 days for everybody (audit_time).
create or replace function baton.kept_for(t baton.tenants) returns jsonb language plpgsql immutable set search_path = '' as $$
begin
  return '{"eventDays": 7, "eventsPerAgent": 10000, "deliveryDays": 7, "agentDays": null}'::jsonb || t.retention;
end $$;

create or replace function baton.get_retention(p jsonb) returns json language plpgsql stable set search_path = '' as $$
declare
  t baton.tenants;
begin
  select * into t from baton.tenants x where x.id = p ->> 'tenant' and x.environment = p ->> 'environment';
  if not found then return baton.refuse('tenant_missing', jsonb_build_object('tenant', p ->> 'tenant')); end if;
  return json_build_object('ok', true, 'retention', baton.kept_for(t), 'set', t.retention,
    'prunedAt', (select s.pruned_at from baton.sweeps s where s.environment = t.environment));
end $$;

-- {values} Replaces what is set; {} gives the defaults back.
create or replace function baton.set_retention(p jsonb) returns json language plpgsql set search_path = '' as $$
begin
  update baton.tenants t set retention = p -> 'values' where t.id = p ->> 'tenant' and t.environment = p ->> 'environment';
  if not found then return baton.refuse('tenant_missing', jsonb_build_object('tenant', p ->> 'tenant')); end if;
  perform baton.audit_request(p, jsonb_build_object('action', 'retention.set', 'decision', 'allowed', 'scope', 'tenant', 'data', p -> 'values'));
  return baton.get_retention(p);
end $$;

-- A piece of the walk over all agents: `most` of them are looked at (two index entries each), and at most about as many events go, for about 2 seconds.
-- idle: those that are past their tenant's agentDays; the walk goes on behind them, whatever becomes of them.
drop function if exists baton.prune_agents(text, integer);
create or replace function baton.prune_agents(env text, most integer, out events integer, out idle uuid[], out more boolean) language plpgsql set search_path = '' as $$
declare
  until timestamptz := clock_timestamp() + interval '2 seconds';
  x record;
  e record;
  seen integer := 0;
  place uuid := (select s.prune_cursor from baton.sweeps s where s.environment = env);
  now_at timestamptz := baton.clock();
begin
  events := 0;
  idle := '{}';
  more := false;
  for x in
    select w.*, baton.kept_for(t) as keep, (select v.at from baton.events v where v.agent_uid = w.agent_uid and v.seq >= w.first_event_seq order by v.seq limit 1) as oldest
    from (select a.agent_uid, a.tenant_id, a.environment, a.first_event_seq, a.last_event_seq, a.active_run, a.queued, a.updated_at from baton.agents a
      where a.agent_uid > coalesce(place, '00000000-0000-0000-0000-000000000000') order by a.agent_uid limit most) w
    join baton.tenants t on t.id = w.tenant_id order by w.agent_uid
  loop
    seen := seen + 1;
    if x.environment = env and x.active_run is null and x.queued = 0 and x.updated_at < now_at - baton.duration((x.keep ->> 'agentDays')::numeric * 86400000) then
      idle := idle || x.agent_uid;
    elsif x.environment = env and (x.oldest < now_at - baton.duration((x.keep ->> 'eventDays')::numeric * 86400000)
      or x.last_event_seq - x.first_event_seq >= (x.keep ->> 'eventsPerAgent')::bigint) then
      select * into e from baton.prune_events(x.agent_uid, x.keep, most);
      events := events + coalesce(e.gone, 0);
      more := e.more;
    end if;
    -- One that has more stays the next.
    if not more then place := x.agent_uid; end if;
    more := more or events >= most or cardinality(idle) * 10 >= most or clock_timestamp() > until;
    exit when more;
  end loop;
  if not more and seen < most then place := null; else more := true; end if;
  insert into baton.sweeps as s (environment, last_at, prune_cursor) values (env, 'epoch', place)
  on conflict (environment) do update set prune_cursor = excluded.prune_cursor;
end $$;

-- Those of the idle agents that are still idle go, for about 2 seconds; remaining: those that nobody has looked at in this time.
create or replace function baton.expire_agents(env text, idle uuid[], out agents integer, out remaining uuid[]) language plpgsql set search_path = '' as $$
declare
  until timestamptz := clock_timestamp() + interval '2 seconds';
  seen_at timestamptz;
begin
  agents := 0;
  remaining := idle;
  while cardinality(remaining) > 0 and clock_timestamp() < until loop
    select a.updated_at into seen_at from baton.agents a join baton.tenants t on t.id = a.tenant_id where a.agent_uid = remaining[1] and a.environment = env
      and a.updated_at < baton.clock() - baton.duration((baton.kept_for(t) ->> 'agentDays')::numeric * 86400000);
    if found then agents := agents + baton.expire_agent(remaining[1], seen_at); end if;
    remaining := remaining[2:];
  end loop;
end $$;

-- Everything else that has a time, and how many rows of each kind went.
create or replace function baton.prune_rows(env text, most integer) returns jsonb language plpgsql set search_path = '' as $$
declare
  now_at timestamptz := baton.clock();
  day_ago timestamptz := now_at - interval '24 hours';
  long_ago timestamptz := now_at - baton.audit_time();
  shortest integer := coalesce((select min((baton.kept_for(t) ->> 'deliveryDays')::integer) from baton.tenants t where t.environment = env), 7);
  gone jsonb := '{}';
  n integer;
begin
  -- By row address: the planner would rather read a whole table than look up a batch of keys in it. Nobody is waited for: who holds a row, or an
  -- agent, comes with the next batch.
  delete from baton.idempotency d where d.ctid = any (array(
    select i.ctid from baton.idempotency i left join baton.tenants t on t.id = i.tenant_id left join baton.runs r on r.run_id = i.run_id
    where coalesce(t.environment, i.hash) = env and i.created_at < day_ago and not coalesce(baton.is_open(r.state), false)
      and (i.caller = 'baton:refused' and i.chosen ? 'entry') is not true
    limit most for update of i skip locked));
  get diagnostics n = row_count;
  gone := gone || jsonb_build_object('idempotency', n);
  delete from baton.outbox d where d.ctid = any (array(
    select o.ctid from baton.outbox o where o.environment = env and o.created_at < day_ago and o.sent_at < day_ago limit most for update skip locked));
  get diagnostics n = row_count;
  gone := gone || jsonb_build_object('outbox', n);
  delete from baton.webhook_deliveries w where w.ctid = any (array(
    select d.ctid from baton.webhook_deliveries d join baton.tenants t on t.id = d.tenant_id
    where d.environment = env and d.created_at < now_at - shortest * interval '1 day'
      and coalesce(d.ended_at, d.created_at) < now_at - baton.duration((baton.kept_for(t) ->> 'deliveryDays')::numeric * 86400000)
      and (d.ended_at is not null or d.next_at is null and d.state = 'pending') limit most for update of d skip locked));
  get diagnostics n = row_count;
  gone := gone || jsonb_build_object('deliveries', n);
  -- With their agent, or after 400 days.
  delete from baton.approvals d where d.ctid = any (array(
    select v.ctid from baton.approvals v where v.environment = env and v.created_at < long_ago and v.state <> 'pending' limit most for update skip locked));
  get diagnostics n = row_count;
  gone := gone || baton.prune_budgets(env, most) || jsonb_build_object('approvals', n, 'keys', baton.prune_keys(env, long_ago, most),
    'audit', baton.prune_audit(env, most), 'counts', baton.fold_metrics(env, interval '1 second'));
  delete from baton.gates g where g.environment = env and g.until < now_at - interval '1 hour';
  -- Of a tool or model that is gone for a quarter of a year.
  delete from baton.metric_totals t where t.environment = env and t.updated_at < now_at - interval '90 days';
  -- Of runs that are gone: their ids never come back. Those of agents stay, for a name may be given again.
  delete from baton.switches s where s.environment = env and s.scope like 'run:%' and not exists (select from baton.runs r where r.run_id = substr(s.scope, 5));
  delete from baton.budgets b where b.environment = env and b.scope like 'run:run%' and not exists (select from baton.runs r where r.run_id = substr(b.scope, 5));
  insert into baton.sweeps as s (environment, last_at, pruned_at) values (env, 'epoch', now_at) on conflict (environment) do update set pruned_at = now_at;
  -- Last, for who is refused now waits for it.
  perform baton.tell_refusals(env, most);
  return gone;
end $$;

-- {environment, limit, part?, idle?} -> {ok, more, idle?, and counts}. One batch; the job calls it until nothing is left. part: rows (all that has a time), agents
-- (their events; answers with the idle ones) or idle (these go), each in a transaction of its own: what fails in one undoes no other. Without it: all.
create or replace function baton.prune(p jsonb) returns json language plpgsql set search_path = '' as $$
declare
  env text := p ->> 'environment';
  most integer := least(coalesce((p ->> 'limit')::integer, 1000), 10000);
  part text := p ->> 'part';
  idle uuid[] := array(select jsonb_array_elements_text(coalesce(p -> 'idle', '[]'))::uuid);
  answer jsonb := '{}';
  gone jsonb := '{}';
  events integer := 0;
  agents integer := 0;
  more boolean := false;
begin
  if part is null or part = 'agents' then select w.events, w.idle, w.more into events, idle, more from baton.prune_agents(env, most) w; end if;
  if part is null or part = 'idle' then select x.agents, x.remaining into agents, idle from baton.expire_agents(env, idle) x; end if;
  if part is null or part = 'rows' then gone := baton.prune_rows(env, most); end if;
  more := more or part is distinct from 'agents' and cardinality(idle) > 0 or exists (select from jsonb_each(gone) e where e.value::integer >= most);
  if part is not null then answer := jsonb_build_object('idle', idle); end if;
  return (answer || gone || jsonb_build_object('ok', true, 'events', events, 'agents', agents, 'more', more))::json;
end $$;

-- Idle for longer than its tenant keeps agents. 1 when it went; 0 when it was touched meanwhile, or somebody holds it.
create or replace function baton.expire_agent(uid uuid, seen_at timestamptz) returns integer language plpgsql set search_path = '' as $$
declare
  a baton.agents;
begin
  select * into a from baton.agents x where x.agent_uid = uid and x.active_run is null and x.queued = 0 and x.updated_at = seen_at for update skip locked;
  if not found then return 0; end if;
  perform baton.remove_agent(a);
  perform baton.write_audit(jsonb_build_object('tenant', a.tenant_id, 'environment', a.environment, 'action', 'agent.delete', 'decision', 'recorded', 'code', 'retention',
    'agentUid', a.agent_uid, 'agentId', a.id));
  return 1;
end $$;

-- All open runs of an agent that is about to be deleted. A threshold that this passes is told to the tenant, with ids and amounts alone: nothing of
-- the run or the agent, nor their addresses, may stay in what is yet to be sent.
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
  w.r := null;
  w.a.webhook := null;
  if w.money is not null then perform baton.book_money(w); end if;
end $$;

-- Complete: rows of every table go with the agent (its row is locked); a late continuation finds nothing and ends. What stays are ids and amounts:
-- the ledger, audit entries without their free text, and for their time the idempotency keys, as hashes.
create or replace function baton.remove_agent(a baton.agents) returns void language plpgsql set search_path = '' as $$
begin
  -- A message of the last hour of which an earlier attempt comes late finds that its run is gone: the ids of runs alone stay, for as long as keys.
  update baton.idempotency i set hash = '', run_id = null, agent_uid = null where i.agent_uid = a.agent_uid and i.caller = 'baton:steered';
  insert into baton.idempotency (tenant_id, caller, key, hash)
  select a.tenant_id, 'baton:steered', r.run_id, '' from baton.runs r where r.agent_uid = a.agent_uid and r.created_at > baton.clock() - interval '1 hour'
  on conflict do nothing;
  update baton.idempotency i set key = baton.gone_key(i.key), hash = '', run_id = null, agent_uid = null where i.agent_uid = a.agent_uid;
  -- In the order of everybody who locks several of them.
  perform from baton.webhook_deliveries d where d.id = any (array(
    select x.id from baton.webhook_deliveries x where x.run_id in (select r.run_id from baton.runs r where r.agent_uid = a.agent_uid)
    union all select x.id from baton.webhook_deliveries x where x.agent_uid = a.agent_uid and x.run_id is null)) order by d.id for update;
  delete from baton.webhook_deliveries d where d.run_id in (select r.run_id from baton.runs r where r.agent_uid = a.agent_uid);
  delete from baton.webhook_deliveries d where d.agent_uid = a.agent_uid and d.run_id is null;
  delete from baton.outbox o where o.agent_uid = a.agent_uid;
  perform baton.book_agent(a);
  delete from baton.agents x where x.agent_uid = a.agent_uid;
  update baton.audit e set reason = null, data = null where e.tenant_id = a.tenant_id and e.agent_id = a.id and (e.agent_uid = a.agent_uid or e.agent_uid is null)
    and (e.reason is not null or e.data is not null);
end $$;

-- {scope: user:ID | tenant, confirm} One piece of a deletion, about 2 seconds of it: call again while `more`. `agentUids` have to be halted.
create or replace function baton.erase(p jsonb) returns json language plpgsql set search_path = '' as $$
declare
  until timestamptz := clock_timestamp() + interval '2 seconds';
  whole boolean := p ->> 'scope' = 'tenant';
  of_tenant text := p ->> 'tenant';
  env text := p ->> 'environment';
  a baton.agents;
  uids uuid[] := '{}';
  uid uuid;
  refusal json;
begin
  if whole and p ->> 'confirm' is distinct from of_tenant then return baton.refuse('conflict', jsonb_build_object('reason', 'confirm', 'confirm', of_tenant)); end if;
  if whole then refusal := baton.begin_erasure(p); end if;
  if refusal is not null then return refusal; end if;
  for uid in select x.agent_uid from baton.agents x where x.tenant_id = of_tenant and x.environment = env and (whole or x.owner_id = substr(p ->> 'scope', 6)::uuid)
    order by x.agent_uid limit 500
  loop
    select * into a from baton.agents x where x.agent_uid = uid for update;
    continue when not found;
    perform baton.remove_agent(a);
    uids := uids || uid;
    -- Counters of budgets may have been touched, and those come after all agents.
    exit when a.active_run is not null or clock_timestamp() > until;
  end loop;
  if cardinality(uids) > 0 then
    perform baton.note_erased(p, cardinality(uids));
    return json_build_object('ok', true, 'more', true, 'agents', cardinality(uids), 'agentUids', to_json(uids));
  end if;
  if whole then return baton.erase_tenant(p, until); end if;
  -- Kill switches of a user stay: deleting somebody does not let them in again.
  delete from baton.limits l where l.tenant_id = of_tenant and l.scope = p ->> 'scope';
  -- Only where there is one: the ledger's lock stops everybody for a moment.
  if exists (select from baton.budgets b where b.environment = env and b.tenant_id = of_tenant and b.scope = p ->> 'scope') then
    perform baton.drop_budgets(env, of_tenant, p ->> 'scope', null);
  end if;
  perform baton.audit_request(p, jsonb_build_object('action', 'user.delete', 'decision', 'allowed', 'scope', p -> 'scope', 'data', baton.take_erased(p)));
  return json_build_object('ok', true, 'more', false, 'agents', 0, 'agentUids', '[]'::json);
end $$;

-- The caller's door to erase. A key went with its tenant: who repeats the deletion with it, for the answer was lost, is told that it is done.
create or replace function baton.erase_asked(p jsonb) returns json language plpgsql set search_path = '' as $$
declare
  q jsonb := baton.authorize(p, 'admin');
begin
  if q ->> 'ok' = 'false' and p ->> 'scope' = 'tenant' and exists (select from baton.idempotency i where i.tenant_id = p ->> 'confirm' and i.caller = 'baton:erased'
    and i.key = p -> 'credential' ->> 'keyHash' and i.hash = p ->> 'environment') and not exists (select from baton.tenants t where t.id = p ->> 'confirm') then
    return json_build_object('ok', true, 'more', false, 'agents', 0, 'agentUids', '[]'::json);
  end if;
  return case when q ->> 'ok' = 'false' then q::json else baton.erase(q) end;
end $$;

-- The rest of a tenant without agents. Its ledger and its audit stay, ids and amounts only, until their time is over.
create or replace function baton.erase_tenant(p jsonb, until timestamptz) returns json language plpgsql set search_path = '' as $$
declare
  of_tenant text := p ->> 'tenant';
  n integer;
  erased jsonb;
begin
  loop
    update baton.audit e set reason = null, data = null where e.ctid = any (array(select x.ctid from baton.audit x where x.tenant_id = of_tenant
      and x.environment = p ->> 'environment' and (x.reason is not null or x.data is not null) limit 5000));
    get diagnostics n = row_count;
    exit when n < 5000;
    if clock_timestamp() > until then return json_build_object('ok', true, 'more', true, 'agents', 0, 'agentUids', '[]'::json); end if;
  end loop;
  begin
    erased := baton.take_erased(p);
    delete from baton.webhook_deliveries d where d.tenant_id = of_tenant;
    delete from baton.outbox o where o.tenant_id = of_tenant;
    delete from baton.idempotency i where i.tenant_id = of_tenant;
    delete from baton.budget_counters c where c.tenant_id = of_tenant;
    delete from baton.budgets b where b.tenant_id = of_tenant;
    delete from baton.switches s where s.tenant_id = of_tenant;
    delete from baton.switch_work s where s.tenant_id = of_tenant;
    update baton.api_keys k set rotated_from = null where k.tenant_id = of_tenant;
    delete from baton.api_keys k where k.tenant_id = of_tenant;
    delete from baton.tenants t where t.id = of_tenant;
    insert into baton.idempotency (tenant_id, caller, key, hash) select of_tenant, 'baton:erased', p -> 'credential' ->> 'keyHash', p ->> 'environment'
    where p -> 'credential' ? 'keyHash' on conflict do nothing;
  exception when foreign_key_violation then
    -- Somebody has made an agent meanwhile: the next piece begins with it, and the keys that may ask for it are still there.
    return json_build_object('ok', true, 'more', true, 'agents', 0, 'agentUids', '[]'::json);
  end;
  perform baton.audit_request(p, jsonb_build_object('action', 'tenant.delete', 'decision', 'allowed', 'scope', 'tenant', 'data', erased));
  return json_build_object('ok', true, 'more', false, 'agents', 0, 'agentUids', '[]'::json);
end $$;
