/* turns.h - who is handled next, and who is refused instead.
 *
 * A message that has come whole is an arrival. It waits in its connection's queue, in one of three
 * classes. When a handler is free it takes a turn: some arrivals of one connection.
 *
 * Fair turns: start-time fair queueing (Goyal, Vin and Cheng, 1996) over the connections of a
 * class. What is handled costs its bytes. A connection's turn has a tag: where its last turn ended,
 * in the cost that it has had in all, or where the class is now, if that is more. The least tag is
 * next. So of n connections that always want more each gets an n-th, whatever the size of its
 * messages; and one that has sent little comes before all that have sent much: it waits for one
 * turn, not for a round of all. Only a turn's worth is saved by waiting, and what a turn cost
 * beyond its place is paid by waiting.
 *
 * Classes: what is taken from a class comes before the classes below it, but those get at least one
 * part in TURN_LOWER_PART of what is handled, so that nothing starves.
 *
 * Controlled delay, after CoDel (RFC 8289) and its variant for servers (B. Maurer, "Fail at scale",
 * 2015): a class is overloaded when its queue has not been empty for `interval_ns`, until nothing
 * of it has been refused for as long. Then arrivals that have waited longer than `target_ns` are
 * refused instead of handled: those that are handled are answered in time. A large message may wait
 * for TURN_PATIENCE times as long as handling it takes, at most for TURN_PATIENCE_MAX targets; so
 * long may also a message wait that is the only one of a connection that has had no more than its
 * share. The classes before TRANSPORT_NEW may wait for TURN_FINISH_TARGETS targets.
 *
 * An arrival whose own time has run out (timeout_ms) is refused in any case.
 *
 * Threads: the caller has a lock. No clock of its own: times are given. */
#ifndef RPC_TURNS_H
#define RPC_TURNS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "rpc/transport.h"

#define TURN_QUANTUM        16384u /* a turn takes no more once it has taken so much */
#define TURN_ARRIVALS_MAX   32u    /* in one turn */
#define TURN_MESSAGE_COST   512u   /* a message costs its bytes and this */
#define TURN_REFUSAL_COST   64u    /* a refusal costs its connection this */
#define TURN_SMALL_COST     65536u /* what costs more is not begun within another's pause */
#define TURN_LOWER_PART     8u
#define TURN_FINISH_TARGETS 10u
#define TURN_PATIENCE       16u
#define TURN_PATIENCE_MAX   4u
#define TURN_LOOKED_MAX     64u /* connections that are looked at for a small message */
#define TURN_RETRY_MS_MAX   2000u

struct connection;
struct chunk;
struct turn_queue;

/* A message that has come and is not handled. It has a reference to its connection and its chunk.
 */
struct arrival {
    struct arrival *next;
    struct connection *connection;
    struct chunk *chunk;
    struct bytes header; /* in the chunk, as `body` */
    struct bytes body;
    uint64_t received_ns; /* monotonic: when its last bytes were read */
    uint64_t cost;        /* in bytes: see turn_cost() */
    uint32_t timeout_ms;  /* 0: none */
    enum transport_class class;
    enum transport_refusal refusal; /* why it is refused */
};

static inline uint64_t arrival_bytes(const struct arrival *arrival)
{
    return arrival->header.len + arrival->body.len;
}

/* First in, first out. */
struct arrival_list {
    struct arrival *first;
    struct arrival *last;
};
void arrival_list_add(struct arrival_list *list, struct arrival *arrival);
struct arrival *arrival_list_take(struct arrival_list *list); /* NULL: empty */

/* The arrivals of one connection in one class. */
struct turn_lane {
    struct arrival_list list;
    uint64_t arrivals;
    uint64_t cost; /* of them */
    uint64_t tag;
    uint64_t number; /* in which it came into the heap */
    unsigned at;     /* in the heap, from 1; 0: nothing waits in it, or it is set aside */
};

/* A connection's. Zeroed at first. */
struct turn_queue {
    struct turn_lane lanes[TRANSPORT_CLASSES];
    uint64_t waiting;    /* arrivals, of all classes */
    atomic_bool clogged; /* it has too many replies unread: nothing is handled until it reads, and
                            turns_unclog() is called. Set without the lock */
};

/* The connections of a class that wait for their turn, as a heap by tag. */
struct turn_class {
    struct turn_queue **heap; /* [lanes_max] */
    unsigned lanes;
    uint64_t tag;           /* of the last turn */
    uint64_t arrivals;      /* of those in the heap */
    uint64_t cost;          /* of them */
    uint64_t last_empty_ns; /* when nothing waited last */
    uint64_t refused_ns;    /* until when it counts as overloaded: something was refused */
    uint64_t lower_owed;    /* cost that classes below may have handled before this one */
};

struct turns {
    unsigned lanes_max;
    struct turn_class classes[TRANSPORT_CLASSES];
    uint64_t waiting;     /* arrivals in all, those that are set aside too */
    uint64_t target_ns;   /* 0: nothing is refused for its waiting */
    uint64_t interval_ns; /* above 0 */

    /* How fast: handlers' time of what they handled, and what left the queue by the clock. */
    uint64_t busy_ns;
    uint64_t busy_cost;
    uint64_t cost_per_s; /* of one handler; 0: not known yet */
    uint64_t window_ns;  /* when the present window of TURN_WINDOW_NS began */
    uint64_t window_cost;
    uint64_t window_refused;
    uint64_t served_per_s;  /* of the last windows, halved each window: cost handled */
    uint64_t refused_per_s; /* the same of what was refused */
    uint64_t numbers;       /* of lanes that came into a heap */
    uint64_t draws;         /* for jitter */
};

/* lanes_max: connections that may wait at once. False: no memory. */
bool turns_init(struct turns *turns, unsigned lanes_max, uint64_t target_ns, uint64_t interval_ns,
                uint64_t now_ns);
void turns_deinit(struct turns *turns);

/* What a message of so many bytes costs. `extra`: by what it asks for. */
uint64_t turn_cost(size_t bytes, uint64_t extra);

/* Adds an arrival to its connection's queue. */
void turns_push(struct turns *turns, struct turn_queue *queue, struct arrival *arrival,
                uint64_t now_ns);

/* Takes a turn: puts arrivals of one connection into *handle, at most `room` of them, and those
 * that are refused instead into *refuse. room[class]: what there is room for. `small`: nothing that
 * costs more than TURN_SMALL_COST. Returns the number to be handled; with both lists empty, there
 * is nothing to do. */
unsigned turns_take(struct turns *turns, const unsigned room[TRANSPORT_CLASSES], bool small,
                    uint64_t now_ns, struct arrival_list *handle, struct arrival_list *refuse);

/* Takes out what is to be refused, while there is no room to handle anything. */
void turns_shed(struct turns *turns, uint64_t now_ns, struct arrival_list *refuse);

/* The queue's connection reads again, and `clogged` was taken back: what waits in it may be
 * handled.
 */
void turns_unclog(struct turns *turns, struct turn_queue *queue, uint64_t now_ns);

/* Takes everything out of one connection's queue. */
void turns_clear_queue(struct turns *turns, struct turn_queue *queue, uint64_t now_ns,
                       struct arrival_list *all);

/* Takes everything out that is not set aside. */
void turns_clear(struct turns *turns, uint64_t now_ns, struct arrival_list *all);

/* More of an arrival's cost shows only when it is answered: `cost` more for its connection. */
void turns_charge(struct turns *turns, struct turn_queue *queue, enum transport_class class,
                  uint64_t cost);

/* A turn of so much cost took a handler so long. */
void turns_note_handled(struct turns *turns, uint64_t cost, uint64_t ns);

/* How many arrivals wait. */
uint64_t turns_waiting(const struct turns *turns);

/* The class's queue has not been empty for an interval, or something of it was refused for that
 * within the last one. */
bool turns_overloaded(const struct turns *turns, enum transport_class class, uint64_t now_ns);

/* How much cost of new requests may still come into a queue: under overload as much as its share of
 * what is handled within two targets, else any amount. What comes beyond would wait in vain. One
 * message may always wait. */
uint64_t turns_share(const struct turns *turns, const struct turn_queue *queue, uint64_t now_ns);

/* So much cost of new requests was refused before it came into a queue. */
void turns_note_refused(struct turns *turns, uint64_t cost, uint64_t now_ns);

/* For who is refused: how long to wait before he comes again. As long as what waits and what was
 * refused in the last second take to be handled, by the measured rate, at most TURN_RETRY_MS_MAX;
 * give or take a half at random, so that they don't all come back at once. 1 up. */
uint32_t turns_retry_ms(struct turns *turns, uint64_t now_ns);

#endif
