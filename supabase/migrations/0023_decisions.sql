-- What callers do about approvals and calls that wait outside: decide, answer, read the inbox.

-- {approvalId, decision, note?, input?, inputHash?, fingerprint?, always?} A decision counts once: the same again changes nothing,
-- another is refused. Keys need approvals:decide; a user only where the template names the owner as an approver, on an agent of theirs.
create or replace function baton.decide(p jsonb) returns json language plpgsql set search_path = '' set lock_timeout = '5s' as $$
declare
  w baton.work;
  v baton.approvals;
begin
  p := baton.authorize(p, baton.right_to_decide(p));
  if p ->> 'ok' = 'false' then return p::json; end if;
  select * into v from baton.approvals x where x.id = p ->> 'approvalId' and x.tenant_id = p ->> 'tenant' and x.environment = p ->> 'environment'
    and baton.may_see(p, x.agent_uid, x.owner_id);
  if not found then return baton.refuse('approval_not_found'); end if;
  select a into w.a from baton.agents a where a.agent_uid = v.agent_uid for update;
  if not found then return baton.refuse('approval_not_found'); end if;
  select r into w.r from baton.runs r where r.run_id = v.run_id;
  if coalesce((p ->> 'ownOnly')::boolean, false) and not coalesce((w.a).settings -> 'approvers' ? 'owner', false) then
    return baton.refused_decision(w, p, v, 'forbidden');
  end if;
  -- As it stands under the lock.
  select * into v from baton.approvals x where x.id = v.id;
  if v.state = 'pending' and v.expires_at <= baton.clock() then
    w := baton.finish(baton.expire_approval(w, v));
    select * into v from baton.approvals x where x.id = v.id;
  elsif v.state = 'pending' then
    w := baton.apply_decision(w, v, p || jsonb_build_object('state', case p ->> 'decision' when 'allow' then 'allowed' else 'denied' end, 'by', p ->> 'caller'));
    if (p ->> 'always')::boolean and p ->> 'decision' = 'allow' and v.kind = 'permission' then
      update baton.agents a set always_allowed = a.always_allowed || to_jsonb(v.tool) where a.agent_uid = v.agent_uid and not a.always_allowed ? v.tool;
    end if;
    w := baton.finish(baton.go_on(w));
    return baton.decided(w, p, v.id, false);
  end if;
  if v.state = 'expired' then return baton.refused_decision(w, p, v, 'too_late'); end if;
  if v.state = (case p ->> 'decision' when 'allow' then 'allowed' else 'denied' end)
    and coalesce(v.decided_hash, v.input_hash) = coalesce(p ->> 'inputHash', v.decided_hash, v.input_hash) then
    return baton.decided(w, p, v.id, true);
  end if;
  return baton.refused_decision(w, p, v, 'already_decided');
end $$;

drop function if exists baton.decided(baton.work, text, boolean);
create or replace function baton.decided(w baton.work, p jsonb, id text, replayed boolean) returns json language plpgsql stable set search_path = '' as $$
declare
  v baton.approvals;
begin
  select * into v from baton.approvals x where x.id = decided.id;
  return json_build_object('ok', true, 'replayed', replayed, 'approval', baton.approval_json(v, w.a), 'run', baton.run_json(w.r, w.a),
    'mayRead', baton.told_of(baton.reader_of(p), w.r), 'epoch', (w.a).lease_epoch, 'outbox', coalesce(w.rows, '[]'));
end $$;

create or replace function baton.refused_decision(w baton.work, p jsonb, v baton.approvals, code text) returns json language plpgsql set search_path = '' as $$
begin
  perform baton.audit_run(w, jsonb_build_object('action', 'approval.decide', 'decision', 'refused', 'code', code, 'actor', p ->> 'caller', 'callId', v.call_id,
    'scope', 'tool:' || v.tool, 'requestId', p ->> 'requestId', 'data', jsonb_build_object('approvalId', v.id, 'asked', p -> 'decision', 'state', v.state)));
  return baton.refuse(code, jsonb_build_object('approvalId', v.id, 'state', v.state, 'runId', v.run_id, 'decidedBy', v.decided_by, 'decidedAt', v.decided_at,
    'outbox', coalesce(w.rows, '[]')));
end $$;

-- {environment, agentUid, callId, state: completed|failed, output} from whoever holds the call's signed address, or with a credential
-- that may run the agent. One result, once.
create or replace function baton.call_result(p jsonb) returns json language plpgsql set search_path = '' set lock_timeout = '5s' as $$
declare
  w baton.work;
  c baton.tool_calls;
  until timestamptz;
begin
  if p ? 'credential' then
    p := baton.authorize(p, 'agents:run');
    if p ->> 'ok' = 'false' then return p::json; end if;
  end if;
  select a into w.a from baton.agents a where a.agent_uid = (p ->> 'agentUid')::uuid and a.environment = p ->> 'environment'
    and (not p ? 'credential' or a.tenant_id = p ->> 'tenant' and baton.may_see(p, a.agent_uid, a.owner_id)) for update;
  if not found then return baton.refuse('call_not_found'); end if;
  select * into c from baton.tool_calls t where t.agent_uid = (w.a).agent_uid and t.call_id = p ->> 'callId';
  if not found then return baton.refuse('call_not_found'); end if;
  if c.state <> 'waiting_external' then
    return baton.refuse(case when c.audit -> -1 ->> 'note' = 'expired' then 'too_late' else 'already_decided' end, jsonb_build_object('state', c.state, 'runId', c.run_id));
  end if;
  select r into w.r from baton.runs r where r.run_id = c.run_id;
  select x.expires_at into until from baton.external_waits x where x.agent_uid = c.agent_uid and x.call_id = c.call_id;
  if until <= baton.clock() then
    w := baton.finish(baton.expire_external(w, c.call_id));
    return baton.refuse('too_late', jsonb_build_object('state', 'failed', 'runId', c.run_id, 'outbox', coalesce(w.rows, '[]')));
  end if;
  perform baton.audit_run(w, jsonb_build_object('action', 'tool.result', 'decision', 'recorded', 'code', p ->> 'state', 'actor', coalesce(p ->> 'caller', 'callback'), 'callId', c.call_id,
    'scope', 'tool:' || c.name, 'requestId', p ->> 'requestId'));
  w := baton.finish(baton.end_external(w, c.call_id, p ->> 'state', (p -> 'output')::json, null, (p -> 'shownOutput')::json));
  select * into c from baton.tool_calls t where t.agent_uid = c.agent_uid and t.call_id = c.call_id;
  return json_build_object('ok', true, 'call', baton.call_json(c), 'run', baton.run_json(w.r, w.a), 'epoch', (w.a).lease_epoch, 'outbox', coalesce(w.rows, '[]'));
end $$;

-- Users decide about their own where the template's author lets them (approvers); keys need a right of its own.
create or replace function baton.right_to_decide(p jsonb) returns text language plpgsql immutable set search_path = '' as $$
begin
  return case when p -> 'credential' ? 'user' then 'agents:run' else 'approvals:decide' end;
end $$;

-- Who may decide may also look: a key with approvals:decide alone sees the inbox.
create or replace function baton.get_approval(p jsonb) returns json language plpgsql set search_path = '' as $$
declare
  v baton.approvals;
  a baton.agents;
begin
  p := baton.authorize(p, case when (p ->> 'toDecide')::boolean then baton.right_to_decide(p) else 'agents:read|approvals:decide' end);
  if p ->> 'ok' = 'false' then return p::json; end if;
  select * into v from baton.approvals x where x.id = p ->> 'approvalId' and x.tenant_id = p ->> 'tenant' and x.environment = p ->> 'environment'
    and baton.may_see(p, x.agent_uid, x.owner_id);
  if not found then return baton.refuse('approval_not_found'); end if;
  select * into a from baton.agents x where x.agent_uid = v.agent_uid;
  return json_build_object('ok', true, 'approval', baton.approval_json(v, a));
end $$;

-- {after, limit, bytes?, state?, agent?, runId?, tool?, from?, to?} oldest first; the cursor is the last row's id.
create or replace function baton.list_approvals(p jsonb) returns json language plpgsql set search_path = '' as $$
declare
  rows json[] := '{}';
  room bigint := (p ->> 'bytes')::bigint;
  told json;
  cut boolean;
  x record;
begin
  p := baton.authorize(p, 'agents:read|approvals:decide');
  if p ->> 'ok' = 'false' then return p::json; end if;
  -- In text, so that the plan is made for the filters that were given: what is pending has an index of its own.
  for x in execute format($q$
      select v, a from baton.approvals v join baton.agents a using (agent_uid) where v.tenant_id = $1 ->> 'tenant' and v.environment = $1 ->> 'environment'
        and ($1 ->> 'after' is null or v.id > $1 ->> 'after') %s
        and ($1 ->> 'ownOnly' is distinct from 'true' or v.owner_id = ($1 ->> 'ownerId')::uuid)
        and ($1 ->> 'agent' is null or a.id = $1 ->> 'agent') and ($1 ->> 'runId' is null or v.run_id = $1 ->> 'runId')
        and ($1 ->> 'tool' is null or v.tool = $1 ->> 'tool') and ($1 ->> 'from' is null or v.created_at >= ($1 ->> 'from')::timestamptz)
        and ($1 ->> 'to' is null or v.created_at < ($1 ->> 'to')::timestamptz)
      order by v.id limit ($1 ->> 'limit')::integer
    $q$, case when p ->> 'state' is not null then format('and v.state = %L', p ->> 'state') else '' end) using p
  loop
    told := baton.approval_json(x.v, x.a);
    room := room - octet_length(told::text);
    cut := room < 0 and cardinality(rows) > 0;
    exit when cut;
    rows := rows || told;
  end loop;
  return json_build_object('ok', true, 'data', array_to_json(rows), 'more', coalesce(cut or cardinality(rows) >= (p ->> 'limit')::integer, false) and cardinality(rows) > 0);
end $$;
