/* transport_private.h - the transport's insides, shared by the files of SP over nng's streams.
 * Private to engine/rpc.
 *
 *     timing.c            milliseconds
 *     memory.c            what was read, what is to be written, and the budget of both
 *     frame.c             SP's bytes: handshake, heads of messages, backtrace
 *     link.c              a stream with that framing: its life
 *     link_receive.c      its reading side
 *     link_send.c         its writing side
 *     acceptor.c          the connections that listeners have accepted
 *     listener.c          listeners: addresses, accepting
 *     probe.c             whether a listener lives, asked from outside
 *     watchdog.c          the thread that looks after listeners and connections
 *     exchange.c          REP: requests in hand
 *     transport_server.c  REP: opening and ending
 *     transport_client.c  REQ: calls
 *     transport_dial.c    REQ: the connection
 *     publisher.c         PUB
 *
 * nng's own sockets hand every message through two or three of its threads, each way, and send each
 * with a system call of its own: some 10 us of CPU a message and side. So here nng does the streams
 * (addresses, polling, threads, TCP and ipc), and these files the protocol on them. What has come
 * in with one read is handled by one thread; what is to go out while a write is under way goes with
 * the next one.
 *
 * Threads: callbacks run on nng's threads, any number at once; so do the server's handlers and the
 * client's done(). transport_reply(), transport_client_call() and publisher_send() may be called
 * from any thread. An acceptor has one thread of its own, the watchdog.
 *
 *     server exchange:  free -> HANDLING -> free        its reply is with the connection then
 *     client slot:      free -> waiting for its reply -> free
 *
 * Invariants:
 * - A link (a stream and its buffers) is read by one callback at a time: who has taken all whole
 *   messages out of what was read starts the next read, and only then handles them. So large
 *   messages of one connection are handled at once by several threads, small ones in a row by one.
 *   That chain of reads ends once, and then the link is `down`.
 * - Memory that was read into is shared by the exchanges whose requests are in it (struct chunk),
 *   and is reused when the last of them is answered.
 * - No operation is started on a closed stream: nng 1.5.2 would never end it. Who starts one asks
 *   `closed` and counts itself in the gate, under the link's lock; it gives the lock back first,
 *   because nng's callback asks for it at once; whoever leaves the gate last closes the stream.
 * - Locks: client or acceptor before link; a link's callbacks are called without the link's lock.
 * - A client slot is free again before its call's done() runs, so that done() can start the next.
 *
 * What hostile or unlucky peers can't do: a connection that lets replies lie is cut off after
 * send_timeout_ms, or sooner when it has more than its share; no more is read from one whose
 * replies pile up; one that does not greet is closed; memory for a long message is taken as it
 * comes in, not as it is announced.
 *
 * No timeouts on nng's operations, but for dialing: each would wake nng's expiry thread. A coarse
 * tick looks instead. */
#ifndef RPC_TRANSPORT_PRIVATE_H
#define RPC_TRANSPORT_PRIVATE_H

#include <nng/nng.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#include "base/check.h"
#include "base/limits.h"
#include "base/spin.h"
#include "rpc/transport.h"

#define URL_BYTES_MAX     256
#define LISTENERS_MAX     16u
#define GREETING_MS       10000u /* for the peer's handshake */
#define CALLS_MAX         1024u
#define CHUNK_BYTES_MIN   ((size_t)4096)
#define CHUNK_BYTES_MAX   ((size_t)65536)   /* for what is not one long message */
#define OUTBOX_BYTES_KEPT ((size_t)262144)  /* by a connection that has nothing to send */
#define OUTBOX_BYTES_MAX  ((size_t)8 << 20) /* with more to send nothing more is read */
#define BATCH_MAX         32u               /* messages taken out of a chunk at once */

/* The protocols' numbers. */
#define PROTOCOL_PUB 0x20
#define PROTOCOL_SUB 0x21
#define PROTOCOL_REQ 0x30
#define PROTOCOL_REP 0x31

#define GREETING_LEN 8u
#define HOPS_MAX     8u    /* words of a backtrace (nng's default) */
#define LAST_HOP     0x80u /* in the first byte of a word of the backtrace: it is the request's id */

/* ---- timing.c ---- */

uint64_t now_ms(void);

/* Added to the clock: how a test lets time pass. It only grows. 0 otherwise. */
extern atomic_uint_fast64_t timing_shift_ms;
void pause_ms(unsigned ms);

/* For waits on a condition up to a moment of the monotonic clock. */
void cond_init_monotonic(pthread_cond_t *cond);
struct timespec in_ms(uint64_t ms);

/* ---- memory.c ---- */

/* What long messages and backlogs take. A connection by itself has a bound, but there are many. */
struct budget {
    atomic_uint_fast64_t used;
    uint64_t max; /* 0: none */
};

/* Memory that was read into. */
struct chunk {
    atomic_uint refs; /* the link's own, and one for each exchange with a request in it */
    size_t size;
    struct budget *budget; /* NULL: not of it */
    uint8_t bytes[];
};

/* NULL: no memory, or not in the budget, which counts chunks above CHUNK_BYTES_MAX. */
struct chunk *chunk_make(size_t size, struct budget *budget);
void chunk_get(struct chunk *chunk);
void chunk_put(struct chunk *chunk); /* NULL: nothing */

struct outbox {
    uint8_t *bytes;
    size_t len;
    size_t room;
    size_t budgeted; /* of room, taken from the link's budget */
    unsigned messages;
};

/* Sees to room for so many bytes more. False: no memory, or not in the budget, which counts
 * outboxes above OUTBOX_BYTES_KEPT. */
bool outbox_reserve(struct outbox *outbox, size_t more, struct budget *budget);
void outbox_add(struct outbox *outbox, const void *data, size_t len); /* there is room */

/* Empties it, and lets go of what only a rare load needs. */
void outbox_clear(struct outbox *outbox, struct budget *budget);

/* Frees its memory; the number of messages stays. */
void outbox_free(struct outbox *outbox, struct budget *budget);

/* ---- link.c ---- */

struct link;

struct link_kind {
    uint8_t self;
    uint8_t peer;
    bool rests;                          /* nothing is read while too much is to be sent */
    void (*greeted)(struct link *link);  /* the peer's handshake has come */
    void (*received)(struct link *link); /* something has come in: must pass the reading on */
    void (*sent)(struct link *link, unsigned messages); /* NULL: nothing to do */
    void (*down)(struct link *link);                    /* nothing will come in any more */
    void (*release)(struct link *link); /* nothing refers to it any more: frees its memory */
};

#define GATE_CLOSED 0x80000000u

struct link {
    const struct link_kind *kind;
    void *owner;
    nng_stream *stream;
    nng_aio *receiving;
    nng_aio *sending;
    uint64_t message_bytes_max;
    struct budget *budget; /* NULL: none */
    uint64_t made_ms;
    bool is_ipc;
    atomic_uint_fast64_t long_since_ms; /* when a long message began to come in; 0: none is. Written
                                           by who reads */
    atomic_uint
        refs; /* the reads' one, the writes', each callback's, each exchange's, the owner's */
    atomic_uint gate; /* operations being started, and GATE_CLOSED */

    /* Of who reads. */
    struct chunk *chunk;
    size_t begin; /* bytes begin..end of the chunk have come and were not taken */
    size_t end;
    size_t needed; /* bytes of the message that has come in part; 0: not known yet */
    size_t chunk_bytes;
    bool greeted;
    bool foreign; /* the peer's handshake is another protocol's */
    bool resumed; /* received() runs without a read before it */

    pthread_mutex_t lock; /* all below */
    struct outbox pending;
    struct outbox leaving; /* with nng while is_sending */
    size_t left_bytes;     /* of it */
    bool is_sending;
    bool choked; /* nobody reads until replies have left */
    bool closed;
    uint64_t progress_ms; /* when the last message left, or the first came */
    uint64_t write_ms;    /* when the present write began */
};

/* The link whose messages this thread handles just now. What is sent on it waits until the thread
 * has done with all of them, and then goes in one piece. */
extern _Thread_local struct link *corked;

/* Makes a zeroed link ready, with one reference, the reads'. Takes the stream over. On failure
 * release() has run. */
bool link_init(struct link *link, const struct link_kind *kind, void *owner, nng_stream *stream,
               bool is_ipc, uint64_t message_bytes_max, struct budget *budget);

/* Begins: sends the handshake and reads. */
void link_start(struct link *link);

void link_get(struct link *link);
void link_put(struct link *link);

/* Before an operation is started. Lock held, not closed. */
void gate_enter(struct link *link);

/* After it, without the lock. The caller has a reference. */
void gate_leave(struct link *link);

/* Has received() run once more, with nothing new. Link's lock held; nobody reads. */
void link_resume(struct link *link);

/* Closes the stream; whoever reads will notice. False: it was closed already. */
bool link_shut(struct link *link);

/* The reads have come to their end. */
void link_down(struct link *link);

/* ---- link_send.c ---- */

/* Messages that have not left. Link's lock held. */
static inline unsigned link_unsent(const struct link *link)
{
    return link->pending.messages + link->leaving.messages;
}

/* Adds a message to what is to be sent. Lock held. False: closed, or no memory. */
bool link_add(struct link *link, struct bytes header, struct bytes body);

/* Makes what is pending leave, unless something is being written. Lock held. What it returns
 * is for link_unlock(). */
bool link_begin_write(struct link *link);

/* Writes what link_begin_write() made ready. Without the lock; the caller has a reference. */
void link_write(struct link *link);

/* Gives the lock back, and writes. */
void link_unlock(struct link *link, bool write);

void link_flush(struct link *link);

/* Sends the handshake. */
bool link_send_greeting(struct link *link);

void link_sent(void *arg);

/* ---- frame.c ---- */

struct frame {
    struct bytes header; /* the backtrace */
    struct bytes body;
    size_t total; /* bytes in the stream */
};

enum parsed { PARSED_FRAME, PARSED_PART, PARSED_BROKEN };

/* A protocol's handshake. */
void greeting_of(uint8_t greeting[GREETING_LEN], uint8_t protocol);

/* A message's head: at most MESSAGE_HEAD_MAX bytes; how many. */
#define MESSAGE_HEAD_MAX 9u
size_t message_head(uint8_t head[MESSAGE_HEAD_MAX], bool is_ipc, uint64_t len);

/* Takes the peer's handshake. Only who reads. */
enum parsed parse_greeting(struct link *link);

/* Looks at the next message, which link_take() then takes. Only who reads. */
enum parsed link_next(struct link *link, struct frame *frame);
void link_take(struct link *link, const struct frame *frame);

/* ---- link_receive.c ---- */

/* What is to be done with a link after messages were taken. */
enum next {
    NEXT_TAKE,      /* there may be more */
    NEXT_READ,      /* no whole message is left */
    NEXT_DOWN,      /* the peer does not keep to the protocol */
    NEXT_ELSEWHERE, /* the reading is another callback's */
};

enum next next_of(enum parsed parsed);

/* Looks at the peer's handshake, if it has not come yet. */
enum next link_greeting(struct link *link);

/* Before the messages that were taken, from `begin` on, are handled: if that may take long, reading
 * goes on at once, in another thread. A few small messages are handled first: it keeps nng's
 * threads from getting in each other's way, and two system calls out of the way of an answer. */
enum next link_pass_on(struct link *link, enum next next, size_t begin);

/* Ends a callback's turn. */
void link_go_on(struct link *link, enum next next);

/* Lets the reading rest, until link_sent() has it resumed, while too much is to be sent. Only who
 * reads. */
bool link_choke(struct link *link);

/* Goes on reading: the link is another callback's then. Or comes to its end. Only who reads, with a
 * reference of its own besides. */
void link_receive(struct link *link);

void link_received(void *arg);

/* ---- acceptor.c ---- */

struct acceptor;

/* A connection that a listener has accepted. */
struct connection {
    struct link link; /* first: they are one piece of memory */
    struct acceptor *acceptor;
    struct connection *previous; /* acceptor's lock */
    struct connection *next;
    bool counted; /* in acceptor->connections: has greeted; acceptor's lock */
    bool closing; /* by acceptor_close_first(); acceptor's lock */

    /* exchange.c's. */
    struct connection *starving; /* next that waits for an exchange; server->pool_lock */
    uint32_t handling;           /* exchanges that the handler has; link's lock */
};

struct listener {
    struct acceptor *acceptor;
    nng_stream_listener *listener;
    nng_aio *accepting;
    bool pausing; /* the aio sleeps instead */
    bool failing; /* the last attempt to accept failed */
    bool up;
    bool is_ipc;
    char url[URL_BYTES_MAX]; /* the address really listened on */
    struct sockaddr_storage address;
    socklen_t address_bytes;
};

struct acceptor_options {
    const struct link_kind *kind; /* of all connections */
    uint64_t message_bytes_max;   /* longer messages close their connection */
    uint64_t memory_bytes_max;    /* of all connections; 0: no limit */
    uint32_t connections_max;     /* further ones are refused; 0: no limit */
    uint32_t idle_ms_max;         /* as transport_server_options has it */
    uint32_t in_hand_max; /* a connection with more in hand is cut off when it lets replies lie */
    int send_timeout_ms;  /* what can't be sent for so long closes its connection */
};

struct acceptor {
    struct acceptor_options options;
    struct budget budget;
    atomic_bool stopping; /* no connection and no request is taken any more */
    atomic_uint_fast64_t connections;
    atomic_uint_fast64_t connections_total;
    atomic_uint_fast64_t relistens;
    atomic_uint_fast64_t cut_off;

    pthread_mutex_t lock; /* listeners, the list of connections, watchdog_stop */
    pthread_cond_t wake;
    struct connection *first; /* those that are read from: each has a reference */
    unsigned links;           /* not released yet */
    bool is_full;             /* a connection was refused, and it was said so */
    struct listener *listeners[LISTENERS_MAX];
    unsigned listener_count;
    bool watchdog_started;
    bool watchdog_stop;
    pthread_t watchdog;
};

/* No listener yet, and no thread: the watchdog is started apart. */
void acceptor_init(struct acceptor *acceptor, const struct acceptor_options *options);

/* No connection is taken afterwards; those that there are stay. Ends listeners and watchdog. */
void acceptor_stop(struct acceptor *acceptor);

/* Closes a connection that is read from. False: there is none left. */
bool acceptor_close_first(struct acceptor *acceptor);

/* Waits until all connections have been released. */
void acceptor_wait_released(struct acceptor *acceptor);
void acceptor_deinit(struct acceptor *acceptor);

static inline bool acceptor_stopping(const struct acceptor *acceptor)
{
    /* seq_cst: a server's callback counts itself in `working`, then looks here; who ends sets this,
     * then looks at `working`. One of the two sees the other. */
    return atomic_load_explicit(&acceptor->stopping, memory_order_seq_cst);
}

/* As many connections as may be. Lock held. */
bool acceptor_is_full(const struct acceptor *acceptor);

/* A stream has come. */
void connection_begin(const struct listener *listener, nng_stream *stream);

static inline struct connection *connection_of(struct link *link)
{
    return (struct connection *)link;
}

/* What a kind of connection does when it is greeted, when it is down, and last of all. */
void connection_greeted(struct link *link);
void connection_down(struct link *link);
void connection_release(struct link *link);

/* Closes a connection that is a burden. */
void connection_cut_off(struct connection *connection);

/* A connection that lets replies lie. Link's lock held. */
bool connection_stalled(const struct connection *connection, uint64_t now);

/* ---- listener.c ---- */

/* As transport_server_listen(). */
enum hf_status acceptor_listen(struct acceptor *acceptor, const char *url, char *actual_url,
                               size_t actual_url_bytes);

/* Opens nng's listener on listener->url. */
enum hf_status listener_start(struct listener *listener);

/* Closes it; connections stay. Nobody is accepted afterwards. */
void listener_stop(struct listener *listener);

/* ---- probe.c ---- */

enum probe { PROBE_ALIVE, PROBE_DEAD, PROBE_UNKNOWN };

/* Dials a listener. UNKNOWN: that could not be tried. */
enum probe probe_dial(const struct listener *listener);

/* Removes a socket's file on which nobody answers: what an engine that was killed left behind.
 * False when somebody does. */
bool probe_frees_path(const struct listener *listener);

/* ---- watchdog.c ---- */

enum hf_status watchdog_start(struct acceptor *acceptor);
void watchdog_stop(struct acceptor *acceptor); /* also when it was not started */

/* ---- exchange.c ---- */

struct transport_exchange {
    struct transport_server *server;
    struct transport_exchange *next_free; /* or the next of those to be handled */
    struct connection *connection;        /* while HANDLING: holds a reference */
    struct chunk *chunk;                  /* where the request is: holds a reference */
    struct bytes header;
    struct bytes body;
    bool handling;
    bool user_made; /* user_init has succeeded */
    _Alignas(CACHE_LINE_BYTES) unsigned char user[];
};

struct transport_server {
    struct acceptor acceptor; /* first: they are one piece of memory */
    struct transport_server_options options;
    struct transport_exchange **exchanges;
    unsigned exchange_count;

    struct spin pool_lock;
    struct transport_exchange *free_exchanges;
    struct connection *starving_first;
    struct connection *starving_last;

    atomic_uint active;  /* requests taken whose replies have not left */
    atomic_uint working; /* callbacks under way that may take requests */
    atomic_uint_fast64_t requests;
};

extern const struct link_kind rep_kind;

enum hf_status exchange_make(struct transport_server *server, struct transport_exchange **out);
void exchange_free(struct transport_exchange *exchange);

/* Gives back what the exchange holds, and the exchange. */
void exchange_end(struct transport_exchange *exchange);

/* Lets a connection that waits for an exchange go on, if there is both; or when all must end. */
bool server_feed(struct transport_server *server, bool ending);

/* ---- transport_client.c ---- */

/* A request's id is its slot's number, below a count that makes it new each time. */
#define SLOT_BITS 10
_Static_assert(CALLS_MAX == 1u << SLOT_BITS, "each slot has a number");

struct slot {
    struct slot *next_free;
    struct transport_call *call; /* whom to tell; NULL: free */
    uint32_t id;                 /* with LAST_HOP's bit */
    uint64_t until_ms;
    uint64_t dials; /* that had begun before it */
    bool sent;      /* some connection has it */
    uint8_t *bytes; /* the request, to be sent again */
    size_t len;
    size_t room;
};

/* Why there is no connection. */
enum trouble {
    TROUBLE_NONE,
    TROUBLE_DIAL,    /* client->dial_error */
    TROUBLE_FOREIGN, /* what listens speaks another protocol */
    TROUBLE_HUNG_UP, /* the peer closed the connection before its handshake */
    TROUBLE_SILENT,  /* its handshake did not come */
};

struct transport_client {
    char url[URL_BYTES_MAX];
    bool is_ipc;
    nng_stream_dialer *dialer;
    nng_aio *dialing;
    nng_aio *timer;
    unsigned slot_count;
    struct slot *slots;
    atomic_uint connections; /* greeted and not down: 0 or 1 */
    atomic_uint_fast64_t connections_total;

    pthread_mutex_t lock; /* all below, and slots */
    struct slot *free_slots;
    uint32_t ids;
    unsigned busy_slots;
    unsigned under_way;   /* calls whose done() has not returned */
    uint32_t shortest_ms; /* of all calls' timeouts so far */
    struct link *link;    /* has a reference; NULL: none */
    bool link_greeted;
    unsigned links; /* not released yet */
    bool is_dialing;
    bool is_ticking;
    bool closing;
    bool abandoned; /* closed while links were left: the last of them frees the client */
    enum trouble trouble;
    int dial_error;     /* nng's */
    uint64_t dials;     /* begun so far */
    uint64_t dialed_ms; /* when the last one ended */
    uint64_t redial_at_ms;
    uint64_t redial_pause_ms;
};

static inline struct transport_client *client_of(struct link *link)
{
    return link->owner;
}

/* Takes replies out of what has come in, and tells whom they are for. */
void client_received(struct link *link);

/* Adds all that waits for a reply to what is to be sent. Lock held. */
void client_send_all(struct transport_client *client);

enum give_up {
    GIVE_UP_LATE,    /* those whose time is over: TIMED_OUT, or UNREACHABLE if they were not sent */
    GIVE_UP_REFUSED, /* those that the last dial began after: UNREACHABLE. None has been sent */
    GIVE_UP_ALL,     /* all: CANCELED */
};

/* Takes calls that end without a reply out of their slots: a list for calls_tell(). Lock held. Sets
 * *any_sent (may be NULL) when one of them was sent: the connection may still have it to send. */
struct transport_call *calls_give_up(struct transport_client *client, enum give_up which,
                                     bool *any_sent);

/* Runs their done(). Without the lock. */
void calls_tell(struct transport_client *client, struct transport_call *first);

/* ---- transport_dial.c ---- */

/* Has the timer run as long as there is something to look at. Lock held. */
void client_tick(struct transport_client *client);

/* A call waits while there is no connection. Lock held. */
void client_hurry(struct transport_client *client);

#endif
