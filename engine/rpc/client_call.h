/* client_call.h - REQ: calls, from their slot to their reply or their end without one.
 *
 *     a slot:  free -> waiting for its reply -> free
 *
 * A call's request is kept in its slot until the call ends, to be sent again on the next
 * connection.
 *
 * Threads: any. Invariant: a slot is free again before its call's done() runs, so that done() can
 * start the next call. */
#ifndef RPC_CLIENT_CALL_H
#define RPC_CLIENT_CALL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "rpc/link.h"
#include "rpc/transport.h"

/* A request's id is its slot's number, and above it a count that makes each id new. */
#define SLOT_BITS 10
#define CALLS_MAX 1024u
_Static_assert(CALLS_MAX == 1u << SLOT_BITS, "each slot has a number");

#define CLIENT_URL_BYTES 256

struct slot {
    struct slot *next_free;
    struct transport_call *call; /* NULL: free */
    uint32_t id;                 /* with LAST_HOP's bit */
    uint64_t until_ms;
    uint64_t dials; /* that had begun before the call */
    bool sent;      /* some connection has it */
    uint8_t *bytes; /* the request, to be sent again */
    size_t len;
    size_t room;
};

/* Why there is no connection. */
enum trouble {
    TROUBLE_NONE,
    TROUBLE_DIAL,    /* client->dial_error says more */
    TROUBLE_FOREIGN, /* what listens speaks another protocol */
    TROUBLE_HUNG_UP, /* the peer closed the connection before its handshake */
    TROUBLE_SILENT,  /* its handshake did not come */
};

struct transport_client {
    char url[CLIENT_URL_BYTES];
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

/* Takes a free slot for the call and copies the request into it. Lock held. BUSY: none is free;
 * NO_MEMORY. */
enum hf_status slot_begin(struct transport_client *client, struct transport_call *call,
                          struct bytes request, uint32_t timeout_ms, struct slot **out);

/* Adds the slot's request to what is to be sent. Lock held; there is a connection. */
void slot_send(struct transport_client *client, struct slot *slot);

/* Adds all requests that wait for a reply to what is to be sent. Lock held. */
void client_send_all(struct transport_client *client);

/* A link's received(): takes replies out of what has come in, and ends their calls. */
void client_received(struct link *link);

enum give_up {
    GIVE_UP_LATE,    /* those whose timeout is over: TIMED_OUT, or UNREACHABLE if not sent */
    GIVE_UP_REFUSED, /* those that came before the last dial began: UNREACHABLE. None was sent */
    GIVE_UP_ALL,     /* all: CANCELED */
};

/* Takes calls that end without a reply out of their slots: a list for calls_finish(). Lock held.
 * Sets *any_sent (may be NULL) when one of them was sent: the connection may still have to send it.
 */
struct transport_call *calls_give_up(struct transport_client *client, enum give_up which,
                                     bool *any_sent);

/* Runs their done(). Without the lock. */
void calls_finish(struct transport_client *client, struct transport_call *first);

/* Takes one call out of its slot. False: it is in none. Lock held. */
bool calls_forget(struct transport_client *client, struct transport_call *call);

#endif
