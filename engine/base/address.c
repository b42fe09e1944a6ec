/* address.c - see address.h. */
#include "base/address.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/un.h>

#include "base/bytes.h"
#include "base/escape.h"

#define FORMS         "tcp://HOST:PORT or ipc://PATH"
#define LABEL_MAX     63u /* of a host name's part (RFC 1035) */
#define HOST_NAME_MAX 253u
#define PORT_DIGITS   "0123456789"
#define SCHEME_SHOWN  16 /* characters of an unknown scheme that are repeated */
#define HOST_SHOWN    64

static_assert(ADDRESS_PATH_MAX == sizeof(((struct sockaddr_un *)0)->sun_path) - 1,
              "a path and its end fill a socket's address");

static bool wrong(char *reason, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Says why, and is false. */
static bool wrong(char *reason, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(reason, ADDRESS_REASON_BYTES, format, args);
    va_end(args);
    return false;
}

/* Addresses are printed as lines ("listening on ..."): one with a line's end in it would be
 * several. False: reason says where. */
static bool is_one_line(const char *text, char *reason)
{
    struct bytes rest = {(const uint8_t *)text, strlen(text)};
    while (rest.len > 0) {
        char shown[ESCAPE_BYTES_MAX];
        size_t taken;
        size_t len = escape_next(rest, shown, &taken);
        if (len != taken || memcmp(shown, rest.data, len) != 0) {
            return wrong(reason, "%.*s at byte %zu is not allowed", (int)len, shown,
                         strlen(text) - rest.len);
        }
        rest = (struct bytes){rest.data + taken, rest.len - taken};
    }
    return true;
}

/* ---- ipc ---- */

static bool parse_path(const char *path, struct address *address, char *reason)
{
    size_t len = strlen(path);
    if (len == 0) {
        return wrong(reason, "the path is missing: must be ipc://PATH");
    }
    if (len > ADDRESS_PATH_MAX) {
        return wrong(reason, "the path has %zu bytes, a socket's path may have %u at most", len,
                     ADDRESS_PATH_MAX);
    }
    address->ipc = true;
    address->path = path;
    return true;
}

/* ---- tcp ---- */

static bool parse_port(const char *text, enum address_use use, uint16_t *port, char *reason)
{
    unsigned least = use == ADDRESS_CONNECT ? 1 : 0;
    if (*text == '\0') {
        return wrong(reason, "the port is missing: must be tcp://HOST:PORT");
    }
    size_t digits = strspn(text, PORT_DIGITS);
    if (digits > 0 && (text[digits] == '/' || text[digits] == '?' || text[digits] == '#')) {
        return wrong(reason, "nothing may follow the port: \"%.32s\"", text + digits);
    }
    if (text[digits] != '\0') {
        return wrong(reason, "port \"%.32s\" is not a number", text);
    }
    unsigned long value = digits > 9 ? UINT16_MAX + 1ul : strtoul(text, NULL, 10);
    if (value < least || value > UINT16_MAX) {
        return wrong(reason, "port %.32s: must be %u..%u", text, least, UINT16_MAX);
    }
    *port = (uint16_t)value;
    return true;
}

/* Behind a % may be an interface's name, as fe80::1%eth0 has it. */
static bool is_ipv6(const char *host)
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr ignored;
    size_t len = strcspn(host, "%");
    if (len >= sizeof text || (host[len] == '%' && host[len + 1] == '\0')) {
        return false;
    }
    memcpy(text, host, len);
    text[len] = '\0';
    return inet_pton(AF_INET6, text, &ignored) == 1;
}

/* Letters, digits, - and _ in parts with dots between; a dot in the end is allowed (RFC 1123). */
static bool is_host_name(const char *host)
{
    size_t label = 0;
    if (strlen(host) > HOST_NAME_MAX) {
        return false;
    }
    for (const char *at = host; *at; at++) {
        bool dot = *at == '.';
        bool fits = dot || (*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') ||
                    (*at >= '0' && *at <= '9') || *at == '-' || *at == '_';
        if (!fits || (dot && label == 0) || label > LABEL_MAX) {
            return false;
        }
        label = dot ? 0 : label + 1;
    }
    return label <= LABEL_MAX;
}

static bool check_host(const char *host, char *reason)
{
    struct in_addr ignored;
    if (strchr(host, ':')) {
        return wrong(reason, "\"%.*s\" is not a host: it has a colon", HOST_SHOWN, host);
    }
    if (host[strspn(host, "0123456789.")] == '\0' && inet_pton(AF_INET, host, &ignored) != 1) {
        return wrong(reason, "\"%.*s\" is not an IPv4 address", HOST_SHOWN, host);
    }
    return is_host_name(host) ||
           wrong(reason, "\"%.*s\" is neither an IP address nor a host's name", HOST_SHOWN, host);
}

/* The host is text[0..len), in front of the last colon. */
static bool parse_host(const char *text, size_t len, enum address_use use, struct address *address,
                       char *reason)
{
    char *host = address->host;
    bool bracket = len > 0 && text[0] == '[';
    if (bracket && (len < 2 || text[len - 1] != ']')) {
        return wrong(reason, "the bracket is not closed: must be tcp://[ADDRESS]:PORT");
    }
    snprintf(host, sizeof address->host, "%.*s", (int)(bracket ? len - 2 : len), text + bracket);
    if (bracket) {
        return is_ipv6(host) || wrong(reason, "\"%.*s\" is not an IPv6 address", HOST_SHOWN, host);
    }
    if (strcmp(host, "*") == 0 || host[0] == '\0') {
        host[0] = '\0';
        return use == ADDRESS_LISTEN ||
               wrong(reason, "the host is missing: must be tcp://HOST:PORT");
    }
    return check_host(host, reason);
}

/* tcp://[::1] has a colon, but no port. */
static const char *port_colon(const char *text)
{
    const char *colon = strrchr(text, ':');
    const char *bracket = strrchr(text, ']');
    return colon && bracket && colon < bracket ? NULL : colon;
}

static bool parse_tcp(const char *text, enum address_use use, struct address *address, char *reason)
{
    const char *colon = port_colon(text);
    if (is_ipv6(text)) { /* with a port after it or without: the text does not show it */
        return wrong(reason, "an IPv6 address is written in brackets, as in tcp://[::1]:7411");
    }
    if (!colon) {
        return wrong(reason, "the port is missing: must be tcp://HOST:PORT");
    }
    size_t len = (size_t)(colon - text);
    if (memchr(text, '@', len)) {
        return wrong(reason, "a user's name has no place in it: must be tcp://HOST:PORT");
    }
    return parse_host(text, len, use, address, reason) &&
           parse_port(colon + 1, use, &address->port, reason);
}

bool address_parse(const char *text, enum address_use use, struct address *address, char *reason)
{
    *address = (struct address){0};
    const char *behind = strstr(text, "://");
    if (text[0] == '\0') {
        return wrong(reason, "it is empty: must be " FORMS);
    }
    if (!is_one_line(text, reason)) {
        return false;
    }
    if (!behind) {
        return wrong(reason, "must be " FORMS);
    }
    if (strncmp(text, "ipc://", 6) == 0) {
        return parse_path(text + 6, address, reason);
    }
    if (strncmp(text, "tcp://", 6) != 0) {
        return wrong(reason, "there is no scheme \"%.*s\" here: must be " FORMS,
                     behind - text < SCHEME_SHOWN ? (int)(behind - text) : SCHEME_SHOWN, text);
    }
    if (strlen(text) > ADDRESS_BYTES_MAX) {
        return wrong(reason, "it has %zu bytes, %u are allowed", strlen(text), ADDRESS_BYTES_MAX);
    }
    return parse_tcp(text + 6, use, address, reason);
}

/* ---- What an address is ---- */

bool address_is_local(const struct address *address)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (address->ipc || strcasecmp(address->host, "localhost") == 0) {
        return true;
    }
    if (inet_pton(AF_INET6, address->host, &v6) == 1) {
        return IN6_IS_ADDR_LOOPBACK(&v6) ||
               (IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[12] == IN_LOOPBACKNET);
    }
    return inet_pton(AF_INET, address->host, &v4) == 1 && ntohl(v4.s_addr) >> 24 == IN_LOOPBACKNET;
}

/* The host as bytes that are equal for all ways to write it: its family, then the address; a name
 * in small letters. */
static void host_key(const char *host, char key[256])
{
    struct in6_addr v6 = {0};
    struct in_addr v4 = {0};
    memset(key, 0, 256);
    if (host[0] == '\0' || inet_pton(AF_INET, host, &v4) == 1) {
        key[0] = 4;
        memcpy(key + 1, &v4, sizeof v4);
    } else if (inet_pton(AF_INET6, host, &v6) == 1) {
        key[0] = 6;
        memcpy(key + 1, &v6, sizeof v6);
    } else {
        snprintf(key, 256, "%s", host);
        for (char *at = key; *at; at++) {
            *at = (char)(*at >= 'A' && *at <= 'Z' ? *at | 0x20 : *at);
        }
    }
}

static bool is_any(const char key[256])
{
    static const char zeros[16];
    return key[0] == 4 || key[0] == 6 ? memcmp(key + 1, zeros, sizeof zeros) == 0 : false;
}

bool address_same(const struct address *a, const struct address *b)
{
    if (a->ipc || b->ipc) {
        return a->ipc && b->ipc && strcmp(a->path, b->path) == 0;
    }
    if (a->port != b->port || a->port == 0) {
        return false;
    }
    char keys[2][256];
    host_key(a->host, keys[0]);
    host_key(b->host, keys[1]);
    bool one_family = keys[0][0] == keys[1][0];
    return memcmp(keys[0], keys[1], 256) == 0 ||
           (one_family && (is_any(keys[0]) || is_any(keys[1])));
}
