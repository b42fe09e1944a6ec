/* dial_test.c - the client's connection: threads held between two steps, refusals, peers that do
 * not answer as they should, and a close that always ends.
 *
 * getaddrinfo() is this test's own: it knows hosts that are not there, and one whose look-up hangs.
 */
#include "unit/rpc/echo.h"

#include <dlfcn.h>
#include <netdb.h>
#include <string.h>

#include "base/test_point.h"

/* ---- Names ---- */

static atomic_bool lookup_hangs;

/* nng calls this one. */
__attribute__((visibility("default"))) int getaddrinfo(const char *node, const char *service,
                                                       const struct addrinfo *hints,
                                                       struct addrinfo **found)
{
    static int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    if (!real) {
        *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
    }
    if (node && strcmp(node, "unknown.test") == 0) {
        return EAI_NONAME;
    }
    if (node && strcmp(node, "again.test") == 0) {
        return EAI_AGAIN;
    }
    if (node && strcmp(node, "hangs.test") == 0) {
        while (atomic_load(&lookup_hangs)) {
            sleep_ms(1);
        }
        return EAI_FAIL;
    }
    return real(node, service, hints, found);
}

/* ---- Threads that are held ---- */

#define LONG_MS 60u /* several of the client's ticks */

static const char *held_point;
static atomic_uint at_point;
static atomic_bool holding;

/* Makes a step of the client's take long. */
static void hold_long(const char *name)
{
    if (strcmp(name, held_point) == 0) {
        atomic_fetch_add(&at_point, 1);
        sleep_ms(LONG_MS);
    }
}

/* Holds a thread until it is let go. */
static void hold_until_told(const char *name)
{
    if (strcmp(name, held_point) == 0) {
        atomic_fetch_add(&at_point, 1);
        while (atomic_load(&holding)) {
            sleep_ms(1);
        }
        atomic_fetch_sub(&at_point, 1);
    }
}

static void hold(const char *point, test_point_hook hook)
{
    held_point = point;
    atomic_store(&at_point, 0);
    atomic_store(&holding, true);
    test_point_set(hook);
}

static void wait_at_point(unsigned count)
{
    uint64_t until = patience_until();
    while (atomic_load(&at_point) != count) {
        assert_true(now_ms() < until);
        sleep_ms(1);
    }
}

static bool connection_waits(int listening, int ms)
{
    struct pollfd wait = {.fd = listening, .events = POLLIN};
    return poll(&wait, 1, ms) == 1;
}

static void client_dials_once_however_late_it_notices_its_connection(void **state)
{
    (void)state;
    static const char *const points[] = {"client_dialed", "client_dialed: start"};
    for (unsigned i = 0; i < 2; i++) {
        char url[64];
        int listening = raw_listen(url);
        hold(points[i], hold_long);
        struct transport_client *client = client_of(url);
        int fd = raw_accept(listening);
        wait_connected(client, 1);
        assert_false(connection_waits(listening, 2 * LONG_MS)); /* no second one */
        assert_int_equal(atomic_load(&at_point), 1);
        struct result result;
        assert_int_equal(result_start(&result, client, bytes_of("x"), PATIENCE_MS), HF_OK);
        uint8_t message[13];
        raw_receive(fd, message, sizeof message);
        raw_send(fd, message, sizeof message);
        result_wait(&result);
        assert_int_equal(result.status, HF_OK);
        transport_client_close(client);
        test_point_set(NULL);
        assert_true(raw_hung_up(fd));
        (void)close(fd);
        (void)close(listening);
    }
}

static uint64_t random_state;

static uint64_t random_next(void)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&lock);
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    uint64_t value = random_state >> 33;
    pthread_mutex_unlock(&lock);
    return value;
}

/* Every second step takes up to two of the client's ticks. */
static void hold_at_random(const char *name)
{
    (void)name;
    if (random_next() % 2 == 0) {
        sleep_ms((unsigned)(random_next() % 20));
    }
}

/* Opens, calls and closes while the server comes and goes, with each step of either drawn out. */
static void client_ends_every_call_once_whatever_step_takes_long(void **state)
{
    (void)state;
    unsigned rounds = getenv("HOLDFAST_LONG") ? 2000 : 60;
    enum { CALLS = 4 };
    random_state = getenv("SEED") ? strtoull(getenv("SEED"), NULL, 10) : 7;
    uint64_t seed = random_state;
    struct echo echo;
    /* Connections wait for an exchange, too. */
    const struct transport_server_options options = {
        .contexts = 2, .per_connection = 8, .send_timeout_ms = 500};
    echo_start_with(&echo, "tcp://127.0.0.1:0", options);
    char url[256];
    (void)snprintf(url, sizeof url, "%s", echo.url);
    test_point_set(hold_at_random);
    for (unsigned round = 0; round < rounds; round++) {
        struct transport_client *client = client_of(url);
        struct result results[CALLS];
        for (unsigned i = 0; i < CALLS; i++) {
            assert_int_equal(result_start(&results[i], client, bytes_of("s"), 50), HF_OK);
            sleep_ms((unsigned)(random_next() % 8));
        }
        bool restart = random_next() % 8 == 0;
        if (restart) {
            echo_stop(&echo);
        }
        sleep_ms((unsigned)(random_next() % 60));
        transport_client_close(client);
        for (unsigned i = 0; i < CALLS; i++) {
            if (atomic_load(&results[i].times) != 1) {
                fail_msg("seed %llu, round %u: a call ended %u times", (unsigned long long)seed,
                         round, atomic_load(&results[i].times));
            }
        }
        if (restart) {
            echo_start_with(&echo, url, options);
        }
    }
    test_point_set(NULL);
    assert_serves(url);
    uint64_t until = patience_until();
    while (echo_stats(&echo).connections > 0) { /* no client has left one open */
        assert_true(now_ms() < until);
        sleep_ms(5);
    }
    echo_stop(&echo);
}

/* Something that nng, or a thread of its, does not let go of. */
static void client_close_ends_when_a_connection_does_not(void **state)
{
    (void)state;
    struct echo echo;
    echo_start(&echo, "tcp://127.0.0.1:0");
    struct transport_client *client = client_of(echo.url);
    assert_int_equal(ask_text(client, "before", PATIENCE_MS), HF_OK);
    hold("client_down", hold_until_told);
    transport_client_close(client); /* returns */
    wait_at_point(1);
    atomic_store(&holding, false); /* and what is left frees the client */
    wait_at_point(0);
    test_point_set(NULL);
    echo_stop(&echo);
}

static void client_takes_a_call_back_once(void **state)
{
    (void)state;
    struct echo echo;
    echo_start(&echo, "tcp://127.0.0.1:0");
    atomic_store(&echo.holding, true);
    struct transport_client *client = client_of(echo.url);
    struct result result;
    assert_int_equal(result_start(&result, client, bytes_of("x"), PATIENCE_MS), HF_OK);
    assert_true(transport_client_forget(client, &result.call));
    assert_false(transport_client_forget(client, &result.call));
    transport_client_close(client);
    assert_int_equal(atomic_load(&result.times), 0);
    echo_stop(&echo);
}

/* ---- Doors: whoever knocks hears a few bytes, and it is shut ---- */

struct door {
    int listening;
    char url[64];
    const char *bytes;
    size_t len;
    atomic_bool closed;
    pthread_t thread;
};

static void *door_run(void *arg)
{
    struct door *door = arg;
    while (!atomic_load(&door->closed)) {
        if (connection_waits(door->listening, 5)) {
            int fd = accept(door->listening, NULL, NULL);
            (void)send(fd, door->bytes, door->len, MSG_NOSIGNAL);
            (void)close(fd);
        }
    }
    return NULL;
}

static void door_open(struct door *door, const char *bytes, size_t len)
{
    *door = (struct door){.bytes = bytes, .len = len};
    door->listening = raw_listen(door->url);
    assert_int_equal(pthread_create(&door->thread, NULL, door_run, door), 0);
}

static void door_close(struct door *door)
{
    atomic_store(&door->closed, true);
    pthread_join(door->thread, NULL);
    (void)close(door->listening);
}

/* ---- Refusals ---- */

static bool reason_is(struct transport_client *client, const char *reason, const char *or_reason)
{
    char text[TRANSPORT_REASON_BYTES];
    transport_client_reason(client, text);
    return strcmp(text, reason) == 0 || strcmp(text, or_reason) == 0;
}

/* Waits until a dial has come as far as either. */
static void await_reason(struct transport_client *client, const char *reason, const char *or_reason)
{
    uint64_t until = patience_until();
    while (!reason_is(client, reason, or_reason)) {
        assert_true(now_ms() < until);
        sleep_ms(1);
    }
}

/* A call whose timeout nobody would wait for is UNREACHABLE before it, and that for the reason. */
static void assert_refused(struct transport_client *client, const char *reason)
{
    char text[TRANSPORT_REASON_BYTES];
    uint64_t start = now_ms();
    assert_int_equal(ask_text(client, "x", 10 * PATIENCE_MS), HF_UNREACHABLE);
    assert_true(now_ms() - start < PATIENCE_MS);
    transport_client_reason(client, text);
    assert_string_equal(text, reason);
    assert_int_equal(transport_client_connections(client), 0);
}

static void check_refused(const char *url, const char *reason)
{
    struct transport_client *client = client_of(url);
    assert_refused(client, reason);
    assert_refused(client, reason); /* and so is the next */
    transport_client_close(client);
}

static void client_is_refused_at_once_where_nobody_listens(void **state)
{
    (void)state;
    char url[64];
    char reason[256];
    (void)close(raw_listen(url));
    (void)snprintf(reason, sizeof reason, "nothing listens on %s (connection refused)", url);
    check_refused(url, reason);
}

static void client_is_refused_at_once_by_a_path(void **state)
{
    (void)state;
    char *dir = tempdir_make();
    char url[256];
    char reason[512];
    (void)snprintf(url, sizeof url, "ipc://%s/socket", dir);
    (void)snprintf(reason, sizeof reason, "nothing listens on %s (there is no such path)", url);
    check_refused(url, reason);

    struct sockaddr_un address = {.sun_family = AF_UNIX};
    set_path(&address, url);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    (void)close(fd); /* as after kill -9 */
    (void)snprintf(reason, sizeof reason, "nothing listens on %s (connection refused)", url);
    check_refused(url, reason);

    uid_t user = geteuid();
    assert_int_equal(chmod(address.sun_path, 0), 0);
    if (user != 0 || seteuid(65534) == 0) {
        (void)snprintf(reason, sizeof reason, "%s may not be opened (permission denied)", url);
        check_refused(url, reason);
        assert_int_equal(seteuid(user), 0);
    }
    tempdir_remove(dir);
}

static void client_is_refused_at_once_by_a_name(void **state)
{
    (void)state;
    check_refused("tcp://unknown.test:7411", "the host of tcp://unknown.test:7411 is not known");
    check_refused("tcp://again.test:7411", "the host of tcp://again.test:7411 is not known");
}

static void client_finds_a_server_that_starts_after_it_was_refused(void **state)
{
    (void)state;
    char url[64];
    (void)close(raw_listen(url));
    struct transport_client *client = client_of(url);
    assert_int_equal(ask_text(client, "x", 10 * PATIENCE_MS), HF_UNREACHABLE);
    struct echo echo;
    echo_start(&echo, url);
    assert_int_equal(ask_text(client, "x", PATIENCE_MS), HF_OK);

    /* From now on it waits for the server to come back. */
    echo_stop(&echo);
    uint64_t until = patience_until();
    while (transport_client_connected(client)) {
        assert_true(now_ms() < until);
        sleep_ms(1);
    }
    char reason[256];
    uint64_t start = now_ms();
    assert_int_equal(ask_text(client, "x", 200), HF_UNREACHABLE);
    assert_true(now_ms() - start >= 195);
    (void)snprintf(reason, sizeof reason, "nothing listens on %s (connection refused)", url);
    await_reason(client, reason, reason);
    transport_client_close(client);
}

/* The first dial was refused before the call began, and its end comes only now: it must not end the
 * call. */
static void client_call_is_not_ended_by_a_dial_before_it(void **state)
{
    (void)state;
    char url[64];
    (void)close(raw_listen(url));
    hold("client_dialed", hold_until_told);
    struct transport_client *client = client_of(url);
    wait_at_point(1);
    struct result result;
    assert_int_equal(result_start(&result, client, bytes_of("x"), PATIENCE_MS), HF_OK);
    struct echo echo;
    echo_start(&echo, url);
    atomic_store(&holding, false);
    result_wait(&result);
    assert_int_equal(result.status, HF_OK);
    test_point_set(NULL);
    transport_client_close(client);
    echo_stop(&echo);
}

static void client_is_refused_at_once_by_another_protocol(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
    } peers[] = {{"HTTP/1.1 400 Bad Request\r\n\r\n", 28}, {"\0SP\0\0\x20\0\0", 8}, {"\0S+", 3}};
    for (unsigned i = 0; i < 3; i++) {
        char reason[256];
        struct door door;
        door_open(&door, peers[i].bytes, peers[i].len);
        (void)snprintf(reason, sizeof reason,
                       "what listens on %s does not speak Holdfast's protocol", door.url);
        check_refused(door.url, reason);
        door_close(&door);
    }
}

/* ---- Peers that do not answer ---- */

/* Once a dial has come as far as that, a call ends when its time is over, and the client can be
 * closed. The reason is either. */
static void check_unreachable(const char *url, const char *reason, const char *or_reason)
{
    struct transport_client *client = client_of(url);
    await_reason(client, reason, or_reason);
    uint64_t start = now_ms();
    assert_int_equal(ask_text(client, "x", 150), HF_UNREACHABLE);
    assert_true(now_ms() - start >= 145);
    assert_true(reason_is(client, reason, or_reason));
    transport_client_close(client);
}

static void client_waits_its_time_for_a_peer_that_says_nothing(void **state)
{
    (void)state;
    char url[64];
    char silent[256];
    char none[256];
    int listening = raw_listen(url);
    (void)snprintf(silent, sizeof silent, "%s takes connections, but does not answer", url);
    check_unreachable(url, silent, silent);

    /* Once its queue is full a dial hangs, or seems to work. */
    assert_int_equal(listen(listening, 0), 0);
    int dialed[12];
    for (unsigned i = 0; i < 12; i++) {
        struct sockaddr_in address = {.sin_family = AF_INET};
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        address.sin_port = htons((uint16_t)atoi(strrchr(url, ':') + 1));
        dialed[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(dialed[i], (struct sockaddr *)&address, sizeof address);
    }
    (void)snprintf(none, sizeof none, "there is no connection to %s", url);
    check_unreachable(url, none, silent);
    for (unsigned i = 0; i < 12; i++) {
        (void)close(dialed[i]);
    }
    (void)close(listening);
}

static void client_waits_its_time_for_a_full_queue_over_ipc(void **state)
{
    (void)state;
    char *dir = tempdir_make();
    char url[256];
    char reason[512];
    (void)snprintf(url, sizeof url, "ipc://%s/socket", dir);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    set_path(&address, url);
    int listening = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(listening, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listening, 0), 0);
    int first = raw_dial(url);
    (void)snprintf(reason, sizeof reason, "%s takes no connections (its queue is full)", url);
    check_unreachable(url, reason, reason);
    (void)close(first);
    (void)close(listening);
    tempdir_remove(dir);
}

static void client_waits_its_time_for_a_name_whose_lookup_hangs(void **state)
{
    (void)state;
    atomic_store(&lookup_hangs, true);
    const char *reason = "there is no connection to tcp://hangs.test:7411";
    check_unreachable("tcp://hangs.test:7411", reason, reason);
    atomic_store(&lookup_hangs, false);
}

static void client_waits_its_time_for_a_peer_that_hangs_up(void **state)
{
    (void)state;
    char closes[256];
    char silent[256]; /* while it is dialed once more */
    struct door door;
    door_open(&door, NULL, 0);
    (void)snprintf(closes, sizeof closes, "%s takes connections, but closes them at once",
                   door.url);
    (void)snprintf(silent, sizeof silent, "%s takes connections, but does not answer", door.url);
    check_unreachable(door.url, closes, silent);
    door_close(&door);
}

/* Whatever half of an answer has come. */
static void client_closes_in_the_middle_of_a_reply(void **state)
{
    (void)state;
    static const struct {
        uint8_t bytes[16];
        size_t len;
    } answers[] = {
        {{0, 0, 0, 0, 0, 0, 0, 9, 0x80}, 9},               /* begun */
        {{0, 0, 0}, 3},                                    /* half a length */
        {{0, 0, 0, 0, 0, 0xFF, 0xFF, 0xFF}, 8},            /* 16 MiB to come */
        {{0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1}, 8} /* more than may be */
    };
    for (unsigned i = 0; i < 4; i++) {
        char url[64];
        int listening = raw_listen(url);
        struct transport_client *client = client_of(url);
        int fd = raw_accept(listening);
        wait_connected(client, 1);
        struct result result;
        assert_int_equal(result_start(&result, client, bytes_of("x"), 100), HF_OK);
        raw_send(fd, answers[i].bytes, answers[i].len);
        if (i % 2 == 0) {
            result_wait(&result);
            assert_int_equal(result.status, HF_TIMED_OUT);
        }
        transport_client_close(client);
        assert_int_equal(atomic_load(&result.times), 1);
        (void)close(fd);
        (void)close(listening);
    }
}

/* ---- Ids ---- */

static uint32_t id_of(const uint8_t message[13])
{
    return (uint32_t)message[8] << 24 | (uint32_t)message[9] << 16 | (uint32_t)message[10] << 8 |
           message[11];
}

/* A reply of one byte with that id. */
static void send_reply(int fd, uint32_t id, char body)
{
    uint8_t reply[13] = {[7] = 5, [12] = (uint8_t)body};
    for (unsigned i = 0; i < 4; i++) {
        reply[8 + i] = (uint8_t)(id >> (24 - 8 * i));
    }
    raw_send(fd, reply, sizeof reply);
}

static void client_takes_no_reply_but_its_own_requests(void **state)
{
    (void)state;
    char url[64];
    int listening = raw_listen(url);
    struct transport_client *client = client_of(url);
    int fd = raw_accept(listening);
    wait_connected(client, 1);
    uint8_t message[13];
    struct result result;
    assert_int_equal(result_start(&result, client, bytes_of("1"), 30), HF_OK);
    raw_receive(fd, message, sizeof message);
    uint32_t stale = id_of(message);
    result_wait(&result);
    assert_int_equal(result.status, HF_TIMED_OUT);

    assert_int_equal(result_start(&result, client, bytes_of("2"), PATIENCE_MS), HF_OK);
    raw_receive(fd, message, sizeof message);
    uint32_t id = id_of(message);
    assert_int_equal(id & 1023u, stale & 1023u); /* the slot of the call before, */
    assert_int_not_equal(id, stale);             /* and another request */
    send_reply(fd, stale, 'a');
    for (unsigned bit = 0; bit < 31; bit++) {
        send_reply(fd, id ^ 1u << bit, 'b');
    }
    uint8_t far[17] = {[7] = 9, [11] = 1, [16] = 'c'}; /* a hop more */
    memcpy(far + 12, message + 8, 4);
    raw_send(fd, far, sizeof far);
    send_reply(fd, id, 'x');
    send_reply(fd, id, 'd'); /* and once more */
    result_wait(&result);
    assert_int_equal(result.status, HF_OK);
    assert_int_equal(result.reply_bytes, 1);
    assert_int_equal(result.reply[0], 'x');

    assert_int_equal(result_start(&result, client, bytes_of("3"), PATIENCE_MS), HF_OK);
    raw_receive(fd, message, sizeof message);
    send_reply(fd, id, 'e');
    send_reply(fd, id_of(message), 'y');
    result_wait(&result);
    assert_int_equal(result.reply[0], 'y');
    assert_int_equal(transport_client_connections(client), 1);
    transport_client_close(client);
    (void)close(fd);
    (void)close(listening);
}

/* What a proxy holds back for one client is not the next one's. */
static void client_begins_its_ids_anywhere(void **state)
{
    (void)state;
    uint32_t first = 0;
    unsigned same = 0;
    char url[64];
    int listening = raw_listen(url);
    for (unsigned i = 0; i < 4; i++) {
        struct transport_client *client = client_of(url);
        int fd = raw_accept(listening);
        struct result result;
        uint8_t message[13];
        assert_int_equal(result_start(&result, client, bytes_of("x"), PATIENCE_MS), HF_OK);
        raw_receive(fd, message, sizeof message);
        same += i > 0 && id_of(message) == first;
        first = i == 0 ? id_of(message) : first;
        transport_client_close(client);
        (void)close(fd);
    }
    assert_true(same < 2);
    (void)close(listening);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(client_dials_once_however_late_it_notices_its_connection),
        cmocka_unit_test(client_ends_every_call_once_whatever_step_takes_long),
        cmocka_unit_test(client_close_ends_when_a_connection_does_not),
        cmocka_unit_test(client_takes_a_call_back_once),
        cmocka_unit_test(client_is_refused_at_once_where_nobody_listens),
        cmocka_unit_test(client_is_refused_at_once_by_a_path),
        cmocka_unit_test(client_is_refused_at_once_by_a_name),
        cmocka_unit_test(client_finds_a_server_that_starts_after_it_was_refused),
        cmocka_unit_test(client_call_is_not_ended_by_a_dial_before_it),
        cmocka_unit_test(client_is_refused_at_once_by_another_protocol),
        cmocka_unit_test(client_waits_its_time_for_a_peer_that_says_nothing),
        cmocka_unit_test(client_waits_its_time_for_a_full_queue_over_ipc),
        cmocka_unit_test(client_waits_its_time_for_a_name_whose_lookup_hangs),
        cmocka_unit_test(client_waits_its_time_for_a_peer_that_hangs_up),
        cmocka_unit_test(client_closes_in_the_middle_of_a_reply),
        cmocka_unit_test(client_takes_no_reply_but_its_own_requests),
        cmocka_unit_test(client_begins_its_ids_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
