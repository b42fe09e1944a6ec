/* address_test.c - whether an address can be listened on, without anybody noticing the question.
 *
 * Threads: one. */
#include "server/address.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/tempdir.h"

/* A socket at the path behind ipc://. */
static int bind_at(const char *url, int type)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    assert_true(strlen(url + 6) < sizeof address.sun_path);
    memcpy(address.sun_path, url + 6, strlen(url + 6));
    int fd = socket(AF_UNIX, type | SOCK_NONBLOCK, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void address_finds_a_listener_at_a_path_without_connecting(void **state)
{
    (void)state;
    char *dir = tempdir_make();
    char url[256];
    snprintf(url, sizeof url, "ipc://%s/socket", dir);
    assert_null(address_fault(url)); /* nothing there */
    int fd = bind_at(url, SOCK_STREAM);
    assert_int_equal(listen(fd, 8), 0);
    assert_string_equal(address_fault(url), strerror(EADDRINUSE));
    assert_int_equal(accept(fd, NULL, NULL), -1);
    assert_int_equal(errno, EAGAIN); /* nobody has come */
    close(fd);
    assert_null(address_fault(url)); /* a file that nobody listens on */
    tempdir_remove(dir);
}

static void address_finds_any_socket_at_a_path(void **state)
{
    static const int types[] = {SOCK_DGRAM, SOCK_SEQPACKET};
    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        char *dir = tempdir_make();
        char url[256];
        snprintf(url, sizeof url, "ipc://%s/socket", dir);
        int fd = bind_at(url, types[i]);
        assert_string_equal(address_fault(url), strerror(EADDRINUSE));
        close(fd);
        assert_null(address_fault(url));
        tempdir_remove(dir);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(address_finds_a_listener_at_a_path_without_connecting),
        cmocka_unit_test(address_finds_any_socket_at_a_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
