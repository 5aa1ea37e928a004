/** How a message is sent. */
interface MessageOptions extends MessageFields {
    /** Ends the reading and waiting, never the run. */
    signal?: AbortSignal;
    /** Your own key for "this message, once": a repeat with it finds the same run for at least 24 h. Made by the client otherwise. */
    idempotencyKey?: string;
    /** True: nothing runs in the request; a background executor does all of it. */
    background?: boolean;
    /** True: refused with 404 or 412 unless the agent exists. */
    mustExist?: boolean;
}
/** Filters of the list of agents; `metadata` compares values as text. */
interface AgentFilter extends ListOptions {
    template?: string;
    state?: AgentState;
    prefix?: string;
    user?: string;
    from?: string;
    to?: string;
    order?: 'asc' | 'desc';
    metadata?: Record<string, string>;
}
/** Agents: durable conversations. */
interface Agents {
    /** Sends a message, which starts or joins a run; an agent that does not exist is made from `template`. */
    send(id: string, message: MessageContent, options?: MessageOptions): SentMessage;
    /** A new agent, or the one that exists with the same body. */
    create(agent: CreateAgent, options?: CallOptions): Promise<Agent>;
    get(id: string, options?: CallOptions): Promise<AgentDetails>;
    list(filter?: AgentFilter): Pages<Agent>;
    /** Metadata is replaced as a whole; webhook null removes it. */
    patch(id: string, patch: PatchAgent, options?: CallOptions): Promise<Agent>;
    /** With everything that belongs to it. */
    delete(id: string, options?: CallOptions): Promise<void>;
    /** The conversation, oldest first; queued messages last. With `before` the newest page first, each in its order, without the queue. */
    messages(id: string, filter?: ListOptions & {
        after?: number;
        before?: number;
        role?: Message['role'];
    }): Pages<Message>;
    toolCalls(id: string, filter?: ListOptions & {
        state?: ToolCall['state'];
        name?: string;
        runId?: string;
    }): Pages<ToolCall>;
    runs(id: string, filter?: RunFilter): Pages<Run>;
    /** All events from now on (or after `after`), over all runs; it ends when you leave. */
    events(id: string, options?: EventOptions): AsyncIterable<BatonEvent>;
    /** Ends what runs now, or the named run; the agent takes messages as before. `stopped` as `runs.cancel` has it. */
    interrupt(id: string, options?: CallOptions & {
        runId?: string;
        reason?: string;
    }): Promise<{
        stopped: boolean;
        run: Run | null;
    }>;
    /** An address with a read-only token for 15 minutes, for EventSource and other readers that cannot send headers. */
    streamUrl(id: string, options?: CallOptions & Pick<EventOptions, 'channels' | 'types'> & {
        named?: boolean;
    }): Promise<string>;
}
/** The agents of a deployment. */
declare function agentsOf(api: Api, runs: Runs): Agents;
/** How long to wait before the n-th attempt after a failure (from 0), in milliseconds: doubled each time, at most `most`, half of it by chance. */
declare function backoffMs(failures: number, { base, most, random }?: {
    base?: number | undefined;
    most?: number | undefined;
    random?: (() => number) | undefined;
}): number;
/** Resolves after so many milliseconds; rejects with the signal's reason as soon as it aborts. */
declare function sleep(ms: number, signal?: AbortSignal): Promise<void>;
/** Why a signal aborted, as an Error. */
declare function reasonOf(signal: AbortSignal | undefined): Error;
/** A signal of its own that aborts when one of `signals` does; call `release` when it is no longer needed. */
declare function linked(...signals: (AbortSignal | undefined)[]): {
    controller: AbortController;
    release: () => void;
};
/** A message of the AI SDK, as far as it is looked at here. */
interface ChatMessage {
    role: string;
    parts: readonly {
        type: string;
    }[];
}
/** What a transport of the AI SDK hands to the function that prepares a message's request; the parts that are used here. */
interface SendOptions {
    id: string;
    messages: ChatMessage[];
    trigger?: string;
    messageId?: string | undefined;
    body?: Record<string, unknown> | undefined;
    headers?: ConstructorParameters<typeof Headers>[0];
    api: string;
}
/** The same for the request that goes on with a stream. */
interface ReconnectOptions {
    id: string;
    headers?: ConstructorParameters<typeof Headers>[0];
    api: string;
}
/** What `chatTransport` is told. */
interface ChatTransportOptions {
    /** Gives the token of the signed-in user (or a key, on a server); asked before each request. Left out where cookies or nothing is needed. */
    getToken?: () => string | null | undefined | Promise<string | null | undefined>;
    /** The template of a chat that does not exist yet. */
    template?: string;
    /** The server's address where it is not the page's own, `https://agents.example.com`. */
    baseUrl?: string;
    fetch?: typeof fetch;
}
/** Options for `WorkflowChatTransport` and `DefaultChatTransport`. */
interface ChatTransport {
    api: string;
    fetch: typeof fetch;
    prepareSendMessagesRequest: (options: SendOptions) => Promise<{
        api: string;
        body: object;
        headers: Record<string, string>;
    }>;
    prepareReconnectToStreamRequest: (options: ReconnectOptions) => Promise<{
        api: string;
        headers: Record<string, string>;
    }>;
}
/**
 * Options for the AI SDK's transports: `new WorkflowChatTransport(chatTransport({getToken}))`. They send the id and the credential that the
 * stock transport leaves out, only the last message (Baton believes no history; of an answer its last step, where what waits is), and, where a
 * stream is gone on with, how many steps of it were seen, so that its place is exact also after a step was repeated.
 */
declare function chatTransport({ getToken, template, baseUrl, fetch: given }?: ChatTransportOptions): ChatTransport;
export {};
/** The inbox of what people must decide. */
interface Approvals {
    list(filter?: ListOptions & {
        state?: Approval['state'];
        agent?: string;
        run?: string;
        tool?: string;
        from?: string;
        to?: string;
    }): Pages<Approval>;
    get(id: string, options?: CallOptions): Promise<Approval>;
    /** Counts once: the same decision again is answered as the first was, another is 409 `already_decided`. */
    decide(id: string, decision: Decision, options?: CallOptions): Promise<Approval & {
        replayed: boolean;
        run: Run;
    }>;
}
/** Limits of money, tokens and calls: `global`, `tenant`, `user:ID`, `key:ID`, `agent:ID`, `run:ID`, `tool:NAME`. */
interface Budgets {
    list(options?: ListOptions): Pages<Budget>;
    get(scope: string, options?: CallOptions & {
        period?: BudgetPeriod;
    }): Promise<BudgetOfScope>;
    /** Replaces the limits of one period (lifetime). */
    set(scope: string, limits: BudgetLimits, options?: CallOptions): Promise<BudgetOfScope>;
    delete(scope: string, options?: CallOptions & {
        period?: BudgetPeriod;
    }): Promise<void>;
}
/** A Baton deployment. */
interface Baton {
    agents: Agents;
    runs: Runs;
    approvals: Approvals;
    budgets: Budgets;
    /** What was spent, from the ledger; without `from` the last 30 days. */
    usage(filter?: ListOptions & {
        groupBy?: UsageGroup;
        from?: string;
        to?: string;
    }): Pages<UsageRow>;
    webhooks: {
        verify: typeof verifyWebhook;
    };
    /** Any other call of the API (docs/, /api/openapi.json): its JSON, as it comes. Throws BatonError. */
    request<T = unknown>(method: string, path: string, request?: ApiRequest): Promise<T>;
}
/** Connects to a deployment; nothing is sent yet. */
declare function createBaton(options: BatonOptions): Baton;
/** A problem document (RFC 9457) as Baton answers it; `code` is one of docs/errors.md, fields of its own stand beside it. */
interface Problem {
    type?: string;
    title?: string;
    status?: number;
    detail?: string;
    instance?: string;
    code?: string;
    requestId?: string;
    retryable?: boolean;
    problems?: {
        in: string;
        path: string;
        message: string;
    }[];
    runId?: string;
    agentId?: string;
    [field: string]: unknown;
}
/** What is known of an error when it is made. */
interface BatonErrorInit {
    code: string;
    status?: number;
    problem?: Problem;
    retryable?: boolean;
    retryAfterMs?: number | null;
    cause?: unknown;
}
/**
 * The one error that this client throws (beside the reason of your own AbortSignal). `code` is Baton's (docs/errors.md), the stop reason of
 * a run that ended badly, or one of the client's own: `network_error`, `timeout`, `connection_lost`, `invalid_answer`, `http_502` and so on,
 * `webhook_signature_invalid`, `webhook_timestamp_invalid`. `status` is 0 without an HTTP answer.
 */
declare class BatonError extends Error {
    readonly name = "BatonError";
    readonly code: string;
    readonly status: number;
    readonly problem: Problem;
    /** True where the same call may succeed later. */
    readonly retryable: boolean;
    /** How long the server asks to wait, in milliseconds; null where it did not say. */
    readonly retryAfterMs: number | null;
    constructor(message: string, { code, status, problem, retryable, retryAfterMs, cause }: BatonErrorInit);
    /** The run that the error is about, where there is one: what it did until then is kept. */
    get runId(): string | undefined;
}
/** The milliseconds of a Retry-After header (seconds or a date); null without one. */
declare function retryAfterOf(header: string | null, now: number): number | null;
/** The error of an answer that is not 2xx; what stands between client and Baton may have made it, so it need not be a problem document. */
declare function errorOf(response: Response): Promise<BatonError>;
/** The HTTP status with which Baton answers a run of that stop reason. */
declare function statusOfEnd(stopReason: string): number;
/** Tokens of one or several model calls. */
interface Usage {
    inputTokens: number;
    outputTokens: number;
    cacheReadTokens: number;
    cacheWriteTokens: number;
    reasoningTokens: number;
}
/** The state of a run; the last six are final. */
type RunState = 'queued' | 'running' | 'awaiting_approval' | 'waiting' | 'completed' | 'failed' | 'cancelled' | 'killed' | 'budget_exceeded' | 'expired';
/** The state of an agent. */
type AgentState = 'ready' | 'working' | 'paused';
/** Where an event belongs: what is shown, what asks somebody to act, what an operator watches. */
type Channel = 'progress' | 'control' | 'monitor';
/** A stored tool call as events and lists show it. */
interface ToolCallRecord {
    callId: string;
    name: string;
    input: unknown;
    effect: 'pure' | 'idempotent' | 'once' | 'external';
    state: 'pending' | 'approval_required' | 'approved' | 'executing' | 'completed' | 'failed' | 'denied' | 'sealed' | 'waiting_external';
    output: unknown;
    [field: string]: unknown;
}
/** A durable event: a row that a commit wrote. */
interface Durable<Type extends string, In extends Channel> {
    type: Type;
    channel: In;
    /** Its number in its agent: rises without gaps. */
    seq: number;
    at: string;
    runId: string | null;
    step: number | null;
}
/** A live frame: text on its way, or what is true only now. */
interface Live<Type extends string, In extends Channel = 'progress'> {
    type: Type;
    channel: In;
    seq?: undefined;
    runId: string | null;
    step: number | null;
}
/** A text begins: the answer, or the model's reasoning. */
interface TextStart extends Live<'text_start' | 'reasoning_start'> {
}
/** A piece of a text; `offset` counts UTF-16 units, and what was shown before has exactly that length. */
interface TextDelta extends Live<'text_delta' | 'reasoning_delta'> {
    offset: number;
    text: string;
    epoch?: number;
    attempt?: number;
}
/** What was shown of this step is void: it is repeated. */
interface StepReset extends Live<'step_reset'> {
}
/** The whole text, stored: it is what counts. */
interface TextEnd extends Durable<'text_end' | 'reasoning_end', 'progress'> {
    text: string;
    part: number;
}
/** A tool is about to run; written before it does. */
interface ToolStart extends Durable<'tool_start', 'progress'> {
    callId: string;
    name: string;
    input: unknown;
    effect: ToolCallRecord['effect'];
    attempt: number;
}
/** The outcome of a tool call. */
interface ToolEnd extends Durable<'tool_end', 'progress'> {
    call: ToolCallRecord;
}
/** The one terminal event of a run. */
interface Done extends Durable<'done', 'progress'> {
    state: RunState;
    stopReason: string;
    output?: string;
    error?: {
        code: string;
        message: string;
        details?: Record<string, unknown>;
    };
    usage: Usage;
    costMicros: number;
}
/** The agent or the run has changed its state. */
interface StateChanged extends Durable<'state_changed', 'monitor'> {
    state: AgentState;
    runState: RunState;
    stopReason?: string;
    /** What the run waits for, and when it goes on by itself. */
    waitKind?: string;
    dueAt?: string;
}
/** Somebody must decide about a call. */
interface ApprovalRequired extends Durable<'approval_required', 'control'> {
    approvalId: string;
    callId: string;
    tool: string;
    input: unknown;
    kind: string;
    reason?: string | null;
    expiresAt: string;
}
/** Somebody has decided, or the time was over, or the run has ended. */
interface ApprovalDecided extends Durable<'approval_decided', 'control'> {
    approvalId: string;
    callId: string;
    tool: string;
    decision: 'allow' | 'deny' | null;
    state: 'allowed' | 'denied' | 'expired' | 'cancelled';
    decidedBy?: string | null;
    note?: string | null;
    edited?: boolean;
}
/** The run waits behind one that is paused. Told once, on the stream that the message has opened. */
interface Blocked extends Live<'blocked', 'control'> {
    blockedBy: 'approvals' | 'external' | 'hold';
    blockingRunId: string;
    approvals: PendingApproval[];
}
/** What an operator watches; the fields of each type are in docs/events.md. */
interface MonitorEvent extends Durable<'usage' | 'step_complete' | 'retry' | 'run_error' | 'hook_failed' | 'handed_off' | 'resumed' | 'message_entered' | 'killed' | 'held' | 'window_moved' | 'repaired' | 'budget' | 'custom', 'monitor'> {
    [field: string]: unknown;
}
/** An event of an agent, told apart by `type`. Types and fields are only ever added: ignore what you do not know. */
type BatonEvent = TextStart | TextDelta | StepReset | TextEnd | ToolStart | ToolEnd | Done | StateChanged | ApprovalRequired | ApprovalDecided | Blocked | MonitorEvent;
/** The name of an event. */
type EventType = BatonEvent['type'];
export {};
/** Which events a reader wants; both absent mean all. */
interface Wanted {
    channels?: readonly Channel[] | undefined;
    types?: readonly EventType[] | undefined;
}
/** What is asked of the server, which is more than what the reader wants where texts must be put together, and what passes to the reader. */
declare function askedFor({ channels, types }: Wanted): {
    query: Record<string, string>;
    passes: (event: BatonEvent) => boolean;
};
/** One connection of a stream, which `connection` ends; `lastEventId` null is the beginning. */
type Open = (lastEventId: string | null, connection: AbortController) => Promise<Response>;
/** What is followed and how long. */
interface Follow {
    open: Open;
    /** The position to begin after. */
    after?: number | undefined;
    /** True: ends with `done` of the run that is followed. */
    endsWithRun: boolean;
    signal?: AbortSignal | undefined;
    /** A stream that says nothing for so long is dead: Baton sends a heartbeat every 5 s. In milliseconds. */
    silenceMs?: number;
    /** Milliseconds before the next connection after the n-th failure in a row (from 0); null gives the stream up with that error. */
    waitMs?: (error: unknown, failures: number, usual: number) => number | null;
    /** Tried in vain for so long it is given up with `connection_lost`, in milliseconds (10 minutes). */
    giveUpMs?: number;
    /** Waited for before each connection: for somebody who reads. */
    ready?: () => Promise<void> | undefined;
}
/** A stream whose connection may be left while nobody reads, also while the next event is waited for. */
interface Leavable<Item = BatonEvent> {
    events: AsyncGenerator<Item, void, undefined>;
    /** Ends the connection; there is no other before `come`. */
    leave: () => void;
    /** Goes on where it was left. */
    come: () => void;
}
/** An iterator that may be left while it waits, which generators may not be: `stop` makes their waiting end. */
declare function stoppable<Item>(items: AsyncGenerator<Item, void, undefined>, stop: () => void): AsyncIterableIterator<Item, void>;
/** The same as `follow`, to be left and come back to. */
declare function leavable(stream: Follow): Leavable;
/**
 * The events of a stream over as many connections as it takes: after a break it comes back with Last-Event-ID, later and later and not
 * together with others, until the run's `done`. Throws BatonError for what will not get better, the signal's reason when it aborts.
 */
declare function follow(stream: Follow): AsyncGenerator<BatonEvent, void, undefined>;
/** How to reach a Baton deployment. */
interface BatonOptions {
    /** Address of the deployment, without `/api`; an empty text is the page's own origin. */
    url: string;
    /** An API key (`bt_...`). On servers only: whoever reads it can use it. */
    key?: string;
    /** The token of the signed-in user, asked for before each request; with `refresh` the last one was refused. */
    getToken?: (options: {
        refresh: boolean;
    }) => string | null | undefined | Promise<string | null | undefined>;
    /** Another fetch than the global one. */
    fetch?: typeof globalThis.fetch;
    /** The longest one attempt of a request may take, in milliseconds (60,000); of a stream: until its first answer. */
    timeoutMs?: number;
    /** How often a request is sent again when it may help (3). */
    retries?: number;
}
/** What every call takes: an abort never stops a run, it only ends the waiting. */
interface CallOptions {
    signal?: AbortSignal;
    /** The longest one attempt may take, in milliseconds. */
    timeoutMs?: number;
}
/** A request to the API. */
interface ApiRequest extends CallOptions {
    query?: Readonly<Record<string, unknown>>;
    body?: unknown;
    headers?: Readonly<Record<string, string>>;
    /** False for what a repeat would do twice: then only refusals (429) are tried again. */
    repeatable?: boolean;
}
/** A request of the client's own. */
interface OwnRequest extends ApiRequest {
    /** Called before each attempt: what it throws ends the request, and nothing is sent. */
    check?: () => void;
}
/** The wire: requests with credentials, time-outs and retries. */
interface Api {
    readonly url: string;
    /** The JSON of a 2xx answer. Throws BatonError. */
    json: <T>(method: string, path: string, request?: OwnRequest) => Promise<T>;
    /** Milliseconds before a message is sent again after the n-th failure (from 0); null where it is given up. */
    waitBefore: (error: unknown, failures: number) => number | null;
    /** One attempt of a stream over a connection that the caller ends. Resolves with the head of the answer. Throws BatonError unless it is 2xx. */
    open: (method: string, path: string, request: OwnRequest, connection: AbortController) => Promise<Response>;
}
/** Path and query: lists become comma lists, what is undefined or null is left out. */
declare function pathOf(path: string, query?: Readonly<Record<string, unknown>>): string;
/** Makes the wire of a deployment. */
declare function createApi(options: BatonOptions): Api;
/** How long to wait before it is tried again; null where it is not: a wait that is too long is the caller's to decide on. */
declare function waitBefore(error: unknown, failures: number, { retries, repeatable }: {
    retries: number;
    repeatable: boolean;
}): number | null;
/** One page of a list; `nextCursor` null on the last. */
interface Page<Item> {
    data: Item[];
    nextCursor: string | null;
}
/** What every list takes: the size of a page (50, at most 200) and where to begin. */
interface ListOptions extends CallOptions {
    limit?: number;
    cursor?: string;
}
/** A list: iterate over its items (pages are fetched as they are needed), over its pages, or take one page. */
interface Pages<Item> extends AsyncIterable<Item> {
    pages(): AsyncIterable<Page<Item>>;
    page(): Promise<Page<Item>>;
}
/** The list at a path. */
declare function listOf<Item>(api: Api, path: string, { signal, timeoutMs, ...query }?: ListOptions): Pages<Item>;
/** Filters of lists of runs. */
interface RunFilter extends ListOptions {
    state?: RunState;
    stopReason?: string;
    template?: string;
    user?: string;
    from?: string;
    to?: string;
    order?: 'asc' | 'desc';
}
/** Which events, and from where. */
interface EventOptions {
    signal?: AbortSignal;
    /** The last number that was seen. */
    after?: number;
    channels?: readonly Channel[];
    types?: readonly EventType[];
}
/** How long to wait for a run. */
interface WaitOptions {
    signal?: AbortSignal;
    /** Rejects with `timeout` after so many milliseconds; the run goes on. */
    timeoutMs?: number;
    /** True: goes on waiting while the run is paused for somebody. */
    untilEnded?: boolean;
}
/** Runs: the work that one message starts. */
interface Runs {
    get(id: string, options?: CallOptions): Promise<RunDetails>;
    list(filter?: RunFilter): Pages<Run>;
    /** The run when it has ended, however it did, or is paused for somebody. */
    wait(id: string, options?: WaitOptions): Promise<RunDetails>;
    /** `stopped` where the run has ended as cancelled; false where its executor has only been asked, or it had ended before. */
    cancel(id: string, options?: CallOptions & {
        reason?: string;
    }): Promise<{
        stopped: boolean;
        run: Run | null;
    }>;
    /** A new run from the committed history of one that has ended. */
    retry(id: string, options?: CallOptions): Promise<Run>;
    /** From the run's first event (or after `after`) to its `done`, over breaks and restarts. */
    events(id: string, options?: EventOptions): AsyncIterable<BatonEvent>;
    /** An address with a read-only token for 15 minutes, for EventSource and other readers that cannot send headers. */
    streamUrl(id: string, options?: CallOptions & Pick<EventOptions, 'channels' | 'types'> & {
        named?: boolean;
    }): Promise<string>;
}
/** The runs of a deployment. */
declare function runsOf(api: Api): Runs;
/** The events at a path, from one connection after the other; of an agent, `begin` finds out which one and after what. */
declare function eventsAt(api: Api, path: string, { signal: given, ...options }: EventOptions, begin?: (call: CallOptions) => Promise<Pick<Agent, 'agentUid' | 'lastSeq'>>): AsyncIterableIterator<BatonEvent, void>;
/** The headers of a stream that goes on after a position. */
declare function streamHeaders(lastEventId: string | null): Record<string, string>;
/** The whole address of a link, with filters. */
declare function streamUrl(api: Api, link: string, { channels, types, named }?: Pick<EventOptions, 'channels' | 'types'> & {
    named?: boolean;
}): string;
/** What every outcome says. */
interface Told {
    agentId: string;
    runId: string;
    usage: Usage;
    costMicros: number;
    lastSeq: number;
}
/**
 * How a message came out: answered, or paused until somebody decides or answers; with `blockedBy` it is the run before it that is paused, and
 * the message waits for its turn. A run that ended otherwise is a BatonError.
 */
type Outcome = (Told & {
    status: 'done';
    output: string;
    stopReason: string;
}) | (Told & {
    status: 'paused';
    approvals: PendingApproval[];
    externalCalls: ExternalCall[];
} & Partial<Pick<Blocked, 'blockedBy' | 'blockingRunId'>>);
/**
 * A message on its way. Await it for the outcome; iterate over it for the events, or over `text` for the answer as it must be shown; all of it
 * any number of times, from the beginning. It is sent at once, and read while somebody waits or iterates. Leaving never stops the run.
 */
interface SentMessage extends PromiseLike<Outcome>, AsyncIterable<BatonEvent> {
    readonly agentId: string;
    /** Under which the message is sent however often it takes: it starts one run. */
    readonly idempotencyKey: string;
    /** Resolves with the run as soon as the message is stored. */
    readonly accepted: Promise<{
        runId: string;
    }>;
    /** The answer being written, whole each time it has changed; the last one is the stored output. */
    readonly text: AsyncIterable<string>;
    /** The same as awaiting it, as a real promise. */
    outcome(): Promise<Outcome>;
    /** Ends the run. */
    cancel(reason?: string): Promise<void>;
}
/** The answer to a message as JSON; it says more where the run has ended. */
interface Answered extends Told, Pick<RunDetails, 'approvals' | 'externalCalls'>, Partial<Pick<Blocked, 'blockedBy' | 'blockingRunId'>> {
    status: 'done' | 'paused' | 'processing';
}
/** What a sent message needs of the client. */
interface SentParts {
    agentId: string;
    idempotencyKey: string;
    /** The run's events; `accepted` is called with its id as soon as it is known. */
    events: (accepted: (runId: string) => void) => Leavable;
    getRun: (runId: string) => Promise<RunDetails>;
    /** What the message is answered now: nothing of it runs anew. */
    ask: () => Promise<Answered>;
    /** The run when it has ended or is paused. */
    waitRun: (runId: string) => Promise<RunDetails>;
    cancel: (runId: string, reason?: string) => Promise<unknown>;
}
/** Makes the handle of a message, and sends it. */
declare function sentMessage({ agentId, idempotencyKey, events, getRun, ask, waitRun, cancel }: SentParts): SentMessage;
/** True for a caller who lacks the right: keys that may only send, for example. */
declare function isForbidden(error: unknown): boolean;
/** True for what says that nothing runs now: of the run itself, or of the one before it. */
declare function tellsPause(event: BatonEvent): event is StateChanged | Blocked;
/** True where nothing runs until a person or the outside answers. */
declare function isPaused(run: Pick<RunDetails, 'state' | 'wait'>): boolean;
export {};
/** What one stream says, for any number of readers. */
interface SharedLog<Item> {
    /** Starts the stream before anybody reads. It is not left before `known`, or an item; then it is where nobody has come by then. */
    prime: (known: Promise<unknown>) => void;
    /** All of it, from the beginning. Whoever leaves last leaves the stream; the next reader comes back to it. */
    read: () => AsyncIterableIterator<Item, void>;
}
/** Shares a stream, which is read as fast as the fastest reader asks; `failed` is told of its failure beside the readers. */
declare function sharedLog<Item>(source: Leavable<Item>, failed: (error: unknown) => void): SharedLog<Item>;
/**
 * Makes one story of a stream that was read over several connections. Each connection begins with the text so far: what has been shown is
 * dropped by its offset, and where the step was repeated meanwhile, a `step_reset` takes back what was shown.
 */
declare class Shown {
    /** The number of the last durable event. */
    seq: number;
    /** The stream tells again, from its beginning, what has been shown: to who may send and not read. Texts without a number are as old. */
    private behind;
    private call;
    /** What the reader has been told of the paused run. */
    private ahead;
    /** The stored texts of the step in hand: they may be told again after a reset, and are never void. */
    private stored;
    /** What the next event shows: nothing, itself, or more. */
    take(event: BatonEvent): BatonEvent[];
    /** It is told on each connection, and is news once. */
    private blocked;
    private durable;
    /** The stored text wins: what is missing comes as a last piece, what is wrong is taken back. */
    private end;
    private storedOf;
    private shownOf;
    /** A start is shown with its first piece: a connection that begins again says it again. */
    private start;
    private delta;
    /** True where the piece continues what was shown: the same call of the model, and the same text where they overlap. */
    private isOfCall;
    /** Forgets the call in hand; says so where something was shown whose end has not come. */
    private reset;
}
/** One block of an event stream; `data` is empty for a block that only sets a position or the time to reconnect. */
interface SseFrame {
    id: string | null;
    data: string;
    retry: number | null;
}
/**
 * Splits an event stream into its blocks (WHATWG HTML, 9.2.6): it is fed text in any pieces and gives the blocks that are complete. Throws
 * BatonError invalid_answer for a line without an end.
 */
declare function sseParser(): (text: string) => SseFrame[];
/** The answer of a run as it must be shown, whole each time it has changed: that of its latest step with a text; the last is the stored output. */
declare function texts(events: AsyncIterable<BatonEvent>): AsyncGenerator<string, void, undefined>;
/** What a message may be: text, or AI SDK user content parts. Files are https addresses (the provider fetches them) or data URLs. */
type MessageContent = string | MessagePart[];
/** A part of a message. */
type MessagePart = {
    type: 'text';
    text: string;
} | {
    type: 'image';
    image: string;
    mediaType?: string;
} | {
    type: 'file';
    data: string;
    mediaType: string;
    filename?: string;
};
/** JSON. */
type Json = null | boolean | number | string | Json[] | {
    [key: string]: Json;
};
/** Rules for tools: deny > ask > allow > mode. `*` in a name stands for any characters. */
interface PermissionRules {
    mode?: 'auto' | 'approval' | 'readonly' | 'custom';
    allow?: string[];
    ask?: string[];
    deny?: string[];
}
/** What narrows an agent or a message; nothing can be widened. */
interface Overrides {
    model?: string;
    permission?: PermissionRules;
    preset?: 'restricted' | 'development' | 'production' | 'temporary';
    expiresAt?: string;
}
/** Limits of one run; each may only lower the template's. Money in micro-dollars, times in milliseconds. */
interface Limits {
    maxSteps?: number;
    maxToolCalls?: number;
    maxCostMicros?: number;
    maxTokens?: number;
    maxWallMs?: number;
    sliceMs?: number;
}
/** Where a run's ends are told. */
interface WebhookTarget {
    url: string;
    secret?: string;
}
/** The fields of a message besides itself. */
interface MessageFields {
    /** Needed where the agent does not exist yet. */
    template?: string;
    metadata?: Record<string, Json>;
    /** What becomes of it while the agent works (enqueue). */
    onBusy?: 'enqueue' | 'steer' | 'interrupt' | 'reject';
    webhook?: WebhookTarget;
    limits?: Limits;
    overrides?: Overrides;
}
/** A durable conversation made from a template. */
interface Agent {
    id: string;
    agentUid: string;
    template: string;
    templateVersion: string;
    model: string;
    state: AgentState;
    steps: number;
    queued: number;
    activeRunId: string | null;
    metadata: Record<string, unknown>;
    alwaysAllowed: string[];
    webhook: {
        url: string;
    } | null;
    userId: string | null;
    messages: number;
    lastSeq: number;
    windowFrom: number;
    windowTokens: number;
    overrides: Overrides;
    expiresAt: string | null;
    createdAt: string;
    updatedAt: string;
}
/** An agent with what its runs have cost. */
interface AgentDetails extends Agent {
    runs: number;
    costMicros: number;
    costUsd: number;
    /** `events` carries a read-only token for 15 minutes, for readers that cannot send headers. */
    links: {
        agent: string;
        events: string;
    };
}
/** The body of a new agent. */
interface CreateAgent {
    /** Made by the client where it is left out. */
    id?: string;
    template: string;
    metadata?: Record<string, Json>;
    webhook?: WebhookTarget;
    overrides?: Overrides;
}
/** What of an agent can be changed. */
interface PatchAgent {
    metadata?: Record<string, Json>;
    webhook?: WebhookTarget | null;
    alwaysAllowed?: string[];
}
/** A row of a conversation; a queued message has no `seq` yet. */
interface Message {
    seq?: number;
    runId: string | null;
    role: 'system' | 'user' | 'assistant' | 'tool';
    content: unknown;
    kind: string;
    state: 'entered' | 'queued';
    at: string;
}
/** A tool call with its record and audit trail. */
interface ToolCall extends ToolCallRecord {
    runId: string;
    step: number;
    attempts: number;
}
/** The work that one message starts. */
interface Run {
    id: string;
    agentId: string;
    state: RunState;
    /** Null until the run has ended; a closed list (docs/errors.md). */
    stopReason: string | null;
    output: string | null;
    error: {
        code: string;
        message: string;
        details?: Record<string, unknown>;
    } | null;
    retryOf: string | null;
    wait: {
        kind: string;
        dueAt: string | null;
    } | null;
    step: number;
    modelCalls: number;
    toolCalls: number;
    slices: number;
    workMs: number;
    metadata: Record<string, unknown>;
    usage: Usage;
    costMicros: number;
    reservedMicros: number;
    costUsd: number;
    template: string;
    firstSeq: number | null;
    lastSeq: number;
    createdAt: string;
    startedAt: string | null;
    endedAt: string | null;
    updatedAt: string;
}
/** A decision that a run waits for. */
interface PendingApproval {
    id: string;
    callId: string;
    tool: string;
    input: unknown;
    kind: string;
    reason: string | null;
    expiresAt: string;
}
/** A call that the outside must answer. */
interface ExternalCall {
    callId: string;
    tool: string;
    input: unknown;
    expiresAt: string;
    /** Where its result is sent, once. */
    callbackUrl: string;
}
/** A run with what explains where it stands. */
interface RunDetails extends Run {
    /** One sentence why the run stands where it stands. */
    explain: string;
    openCalls: {
        callId: string;
        name: string;
        state: string;
        startedAt: string | null;
    }[];
    queuePosition?: number;
    approvals?: PendingApproval[];
    externalCalls?: ExternalCall[];
    links: {
        run: string;
        events: string;
    };
}
/** An approval: bound to exactly one call and its input. */
interface Approval {
    id: string;
    state: 'pending' | 'allowed' | 'denied' | 'expired' | 'cancelled';
    kind: 'permission' | 'unknown_outcome';
    agentId: string;
    template: string;
    userId: string | null;
    runId: string;
    callId: string;
    tool: string;
    input: unknown;
    editedInput: unknown;
    reason: string | null;
    defaultDecision: 'allow' | 'deny';
    expiresAt: string;
    decidedBy: string | null;
    decidedAt: string | null;
    note: string | null;
    createdAt: string;
}
/** A decision; `input` replaces the call's and `always` allows the tool for good, both with allow only. */
interface Decision {
    decision: 'allow' | 'deny';
    input?: Json;
    note?: string;
    always?: boolean;
}
/** The period that a budget counts by. */
type BudgetPeriod = 'run' | 'day' | 'month' | 'lifetime';
/** What a budget allows: null and absent limit nothing, zero allows nothing. */
interface BudgetLimits {
    limitMicros?: number | null;
    limitTokens?: number | null;
    limitCalls?: number | null;
    maxPerCallMicros?: number | null;
    period?: BudgetPeriod;
}
/** A budget with what it has let through. */
interface Budget {
    scope: string;
    period: BudgetPeriod;
    limitMicros: number | null;
    limitTokens: number | null;
    limitCalls: number | null;
    maxPerCallMicros: number | null;
    spentMicros: number | null;
    reservedMicros: number | null;
    remainingMicros: number | null;
    tokens: number | null;
    calls: number | null;
    resetsAt: string | null;
    source: 'set' | 'inherited' | 'default';
}
/** The budget of a scope with least left, and all of its periods. */
interface BudgetOfScope extends Budget {
    periods: Budget[];
}
/** By what usage is summed. */
type UsageGroup = 'agent' | 'user' | 'key' | 'model' | 'day';
/** What one group has spent; the group's own name stands in the field of that name. */
interface UsageRow {
    agent?: string | null;
    user?: string | null;
    key?: string | null;
    model?: string | null;
    day?: string | null;
    calls: number;
    settledMicros: number;
    estimatedMicros: number;
    reservedMicros: number;
    costMicros: number;
    costUsd: number;
    inputTokens: number;
    outputTokens: number;
}
/** The names of the events that Baton tells by webhook (docs/webhooks.md). */
type WebhookType = 'run.completed' | 'run.failed' | 'run.cancelled' | 'run.awaiting_approval' | 'run.handed_off' | 'budget.threshold' | 'agent.killed' | 'webhook.disabled' | 'webhook.test';
/** The body of a webhook. Deliveries come at least once and in no order: keep the `webhook-id`s, order by `lastSeq`. */
interface WebhookEvent {
    type: WebhookType;
    timestamp: string;
    data: {
        agentId?: string;
        runId?: string;
        state?: RunState;
        stopReason?: string | null;
        /** Cut at 2,000 characters: the whole is `runs.get`. */
        output?: string | null;
        usage?: Usage;
        costMicros?: number;
        lastSeq?: number;
        [field: string]: unknown;
    };
}
/** A verified delivery. `id` is the same in every attempt. */
interface Delivery {
    id: string;
    sentAt: Date;
    event: WebhookEvent;
}
/** The headers of a request, as fetch or Node has them; those of undici or node-fetch are as good. */
type HeadersLike = Pick<Headers, 'get'> | Readonly<Record<string, string | readonly string[] | undefined>>;
/** How strictly the time is looked at; `now` is in milliseconds since the epoch. */
interface VerifyOptions {
    toleranceSeconds?: number;
    now?: number;
}
/**
 * Checks that a delivery comes from Baton (Standard Webhooks) and gives what it says. `payload` is the body exactly as it came, `secret` one or
 * several secrets as they were shown. Throws BatonError webhook_signature_invalid or webhook_timestamp_invalid: answer 400 then.
 */
declare function verifyWebhook(payload: string | Uint8Array, headers: HeadersLike, secret: string | readonly string[], { toleranceSeconds, now }?: VerifyOptions): Promise<Delivery>;
export { BatonError, chatTransport, createBaton, type Agent, type AgentDetails, type AgentFilter, type AgentState, type Agents, type ApiRequest, type Approval, type ApprovalDecided, type ApprovalRequired, type Approvals, type Baton, type BatonErrorInit, type BatonEvent, type BatonOptions, type Blocked, type Budget, type BudgetLimits, type BudgetOfScope, type BudgetPeriod, type Budgets, type CallOptions, type Channel, type ChatTransport, type ChatTransportOptions, type CreateAgent, type Decision, type Delivery, type Done, type EventOptions, type EventType, type ExternalCall, type HeadersLike, type Json, type Limits, type ListOptions, type Message, type MessageContent, type MessageFields, type MessageOptions, type MessagePart, type MonitorEvent, type Outcome, type Overrides, type Page, type Pages, type PatchAgent, type PendingApproval, type PermissionRules, type Problem, type Run, type RunDetails, type RunFilter, type RunState, type Runs, type SentMessage, type StateChanged, type StepReset, type TextDelta, type TextEnd, type TextStart, type ToolCall, type ToolCallRecord, type ToolEnd, type ToolStart, type Usage, type UsageGroup, type UsageRow, type VerifyOptions, type WaitOptions, type WebhookEvent, type WebhookTarget, type WebhookType, verifyWebhook }
