/* pacing.c - connections that are not read from for some milliseconds. See pacing.h. */
#include "rpc/pacing.h"

#include "base/check.h"
#include "rpc/link_receive.h"
#include "rpc/timing.h"

#define PACED_READ_BYTES                                                                           \
    ((size_t)16384)         /* what is read of a connection that was paced: most of it is          \
                               going to be refused */
#define RESUMED_AT_ONCE 16u /* before the lock is given to others */

/* Takes a connection out of the list. Lock held. */
static void paced_remove(struct transport_server *server, struct connection *connection)
{
    CHECK(connection->paced);
    connection->paced = false;
    if (connection->paced_previous) {
        connection->paced_previous->paced_next = connection->paced_next;
    } else {
        server->paced_first = connection->paced_next;
    }
    if (connection->paced_next) {
        connection->paced_next->paced_previous = connection->paced_previous;
    } else {
        server->paced_last = connection->paced_previous;
    }
    connection->paced_next = NULL;
    connection->paced_previous = NULL;
}

bool pacing_park(struct transport_server *server, struct connection *connection, uint64_t since_ns)
{
    pthread_mutex_lock(&connection->link.lock);
    bool refused = connection->refused_ns > since_ns && !connection->link.closed;
    pthread_mutex_unlock(&connection->link.lock);
    if (!refused) {
        return false;
    }
    uint64_t now_ns = timing_now_ns();
    pthread_mutex_lock(&server->lock);
    bool parked = !server->stopping;
    if (parked) {
        CHECK(!connection->paced);
        link_get(&connection->link);
        connection->paced = true;
        connection->paced_until_ns = now_ns + PACE_NS;
        connection->paced_previous = server->paced_last;
        connection->paced_next = NULL;
        if (server->paced_last) {
            server->paced_last->paced_next = connection;
        } else {
            server->paced_first = connection;
            pthread_cond_signal(&server->wake); /* an idle handler sleeps until then */
        }
        server->paced_last = connection;
    }
    pthread_mutex_unlock(&server->lock);
    return parked;
}

static void read_again(struct connection *connection)
{
    connection->link.read_bytes_max = PACED_READ_BYTES;
    link_receive(&connection->link);
    link_put(&connection->link);
}

void pacing_resume(struct transport_server *server, bool all)
{
    struct connection *due[RESUMED_AT_ONCE];
    uint64_t now_ns = timing_now_ns();
    unsigned count;
    do {
        count = 0;
        pthread_mutex_lock(&server->lock);
        while (server->paced_first && count < RESUMED_AT_ONCE &&
               (all || server->paced_first->paced_until_ns <= now_ns)) {
            due[count] = server->paced_first;
            paced_remove(server, due[count++]);
        }
        pthread_mutex_unlock(&server->lock);
        for (unsigned i = 0; i < count; i++) {
            read_again(due[i]);
        }
    } while (count == RESUMED_AT_ONCE);
}

void pacing_resume_early(struct transport_server *server, struct connection *connection)
{
    pthread_mutex_lock(&server->lock);
    bool resume = connection->paced && connection->queue.waiting == 0 &&
                  !turns_overloaded(&server->turns, TRANSPORT_NEW, timing_now_ns());
    if (resume) {
        paced_remove(server, connection);
    }
    pthread_mutex_unlock(&server->lock);
    if (resume) {
        read_again(connection);
    }
}

bool pacing_is_due(const struct transport_server *server)
{
    return server->paced_first && server->paced_first->paced_until_ns <= timing_now_ns();
}
