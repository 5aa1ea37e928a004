-- What narrows a run beyond its template: hooks that decide calls, overrides of agents and messages, authority that expires.

-- calls: those that a hook has decided in the tool's place have {hook: {name, decision, reason}}; one entry each.
create or replace function baton.audit_hooks(w baton.work, calls jsonb) returns void language plpgsql set search_path = '' as $$
declare
  c jsonb;
begin
  for c in select x from jsonb_array_elements(calls) x where x ? 'hook' loop
    perform baton.audit_run(w, jsonb_build_object('action', 'tool.call', 'decision', c -> 'hook' -> 'decision', 'code', 'hook', 'callId', c -> 'callId',
      'reason', c -> 'hook' -> 'reason', 'data', jsonb_build_object('tool', c -> 'name', 'hook', c -> 'hook' -> 'name')));
  end loop;
end $$;
