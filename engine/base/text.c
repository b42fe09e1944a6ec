/* text.c - what a text from outside may be, and how it is kept.
 *
 * Categories and normalization are libutf8proc's; what is refused beyond categories is listed here,
 * from Unicode's DerivedCoreProperties.txt (Default_Ignorable_Code_Point) and PropList.txt
 * (White_Space). A newer libutf8proc knows more characters, and never makes another text of one
 * that an older one has taken: normalization is stable for what is assigned.
 *
 * Threads: any; pure. */
#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <utf8proc.h>

/* More code points than a text of TEXT_ROOM_BYTES has decomposed: a composed character of three
 * bytes stands for at most four. */
#define POINTS_MAX 512u

static_assert(POINTS_MAX * 3 / 4 > TEXT_ROOM_BYTES, "what is longer does not fit the room");
static_assert(CODE_BYTES_MAX <= TEXT_ROOM_BYTES && REASON_BYTES_MAX <= TEXT_ROOM_BYTES,
              "any text fits the room");

struct range {
    uint32_t first;
    uint32_t last;
};

static bool in_ranges(const struct range *ranges, size_t count, uint32_t point)
{
    for (size_t i = 0; i < count; i++) {
        if (point >= ranges[i].first && point <= ranges[i].last) {
            return true;
        }
    }
    return false;
}

#define IN_RANGES(ranges, point) in_ranges(ranges, sizeof(ranges) / sizeof *(ranges), point)

static bool is_white(uint32_t point)
{
    static const struct range white[] = {
        {0x09, 0x0D},     {0x20, 0x20},     {0x85, 0x85},     {0xA0, 0xA0},     {0x1680, 0x1680},
        {0x2000, 0x200A}, {0x2028, 0x2029}, {0x202F, 0x202F}, {0x205F, 0x205F}, {0x3000, 0x3000},
    };
    return IN_RANGES(white, point);
}

/* Nothing to see of it, by default; categories Cf and Cn have most of it, these have letters' and
 * marks'. */
static bool is_ignorable(uint32_t point)
{
    static const struct range ignorable[] = {
        {0x00AD, 0x00AD},   {0x034F, 0x034F}, {0x061C, 0x061C},   {0x115F, 0x1160},
        {0x17B4, 0x17B5},   {0x180B, 0x180F}, {0x200B, 0x200F},   {0x202A, 0x202E},
        {0x2060, 0x206F},   {0x3164, 0x3164}, {0xFE00, 0xFE0F},   {0xFEFF, 0xFEFF},
        {0xFFA0, 0xFFA0},   {0xFFF0, 0xFFF8}, {0x1BCA0, 0x1BCA3}, {0x1D173, 0x1D17A},
        {0xE0000, 0xE0FFF},
    };
    return IN_RANGES(ignorable, point);
}

/* ---- Names ---- */

static const char *name_of(uint32_t point)
{
    static const char *const c0[] = {
        "NULL",
        "START OF HEADING",
        "START OF TEXT",
        "END OF TEXT",
        "END OF TRANSMISSION",
        "ENQUIRY",
        "ACKNOWLEDGE",
        "BELL",
        "BACKSPACE",
        "CHARACTER TABULATION",
        "LINE FEED",
        "LINE TABULATION",
        "FORM FEED",
        "CARRIAGE RETURN",
        "SHIFT OUT",
        "SHIFT IN",
        "DATA LINK ESCAPE",
        "DEVICE CONTROL ONE",
        "DEVICE CONTROL TWO",
        "DEVICE CONTROL THREE",
        "DEVICE CONTROL FOUR",
        "NEGATIVE ACKNOWLEDGE",
        "SYNCHRONOUS IDLE",
        "END OF TRANSMISSION BLOCK",
        "CANCEL",
        "END OF MEDIUM",
        "SUBSTITUTE",
        "ESCAPE",
        "INFORMATION SEPARATOR FOUR",
        "INFORMATION SEPARATOR THREE",
        "INFORMATION SEPARATOR TWO",
        "INFORMATION SEPARATOR ONE",
    };
    static const struct {
        uint32_t point;
        const char *name;
    } names[] = {
        {0x20, "SPACE"},
        {0x7F, "DELETE"},
        {0x85, "NEXT LINE"},
        {0x9B, "CONTROL SEQUENCE INTRODUCER"},
        {0xA0, "NO-BREAK SPACE"},
        {0xAD, "SOFT HYPHEN"},
        {0x034F, "COMBINING GRAPHEME JOINER"},
        {0x061C, "ARABIC LETTER MARK"},
        {0x115F, "HANGUL CHOSEONG FILLER"},
        {0x1160, "HANGUL JUNGSEONG FILLER"},
        {0x1680, "OGHAM SPACE MARK"},
        {0x180E, "MONGOLIAN VOWEL SEPARATOR"},
        {0x2000, "EN QUAD"},
        {0x2001, "EM QUAD"},
        {0x2002, "EN SPACE"},
        {0x2003, "EM SPACE"},
        {0x2004, "THREE-PER-EM SPACE"},
        {0x2005, "FOUR-PER-EM SPACE"},
        {0x2006, "SIX-PER-EM SPACE"},
        {0x2007, "FIGURE SPACE"},
        {0x2008, "PUNCTUATION SPACE"},
        {0x2009, "THIN SPACE"},
        {0x200A, "HAIR SPACE"},
        {0x200B, "ZERO WIDTH SPACE"},
        {0x200C, "ZERO WIDTH NON-JOINER"},
        {0x200D, "ZERO WIDTH JOINER"},
        {0x200E, "LEFT-TO-RIGHT MARK"},
        {0x200F, "RIGHT-TO-LEFT MARK"},
        {0x2028, "LINE SEPARATOR"},
        {0x2029, "PARAGRAPH SEPARATOR"},
        {0x202A, "LEFT-TO-RIGHT EMBEDDING"},
        {0x202B, "RIGHT-TO-LEFT EMBEDDING"},
        {0x202C, "POP DIRECTIONAL FORMATTING"},
        {0x202D, "LEFT-TO-RIGHT OVERRIDE"},
        {0x202E, "RIGHT-TO-LEFT OVERRIDE"},
        {0x202F, "NARROW NO-BREAK SPACE"},
        {0x205F, "MEDIUM MATHEMATICAL SPACE"},
        {0x2060, "WORD JOINER"},
        {0x2061, "FUNCTION APPLICATION"},
        {0x2062, "INVISIBLE TIMES"},
        {0x2063, "INVISIBLE SEPARATOR"},
        {0x2064, "INVISIBLE PLUS"},
        {0x2066, "LEFT-TO-RIGHT ISOLATE"},
        {0x2067, "RIGHT-TO-LEFT ISOLATE"},
        {0x2068, "FIRST STRONG ISOLATE"},
        {0x2069, "POP DIRECTIONAL ISOLATE"},
        {0x2800, "BRAILLE PATTERN BLANK"},
        {0x3000, "IDEOGRAPHIC SPACE"},
        {0x3164, "HANGUL FILLER"},
        {0xFEFF, "ZERO WIDTH NO-BREAK SPACE"},
        {0xFFA0, "HALFWIDTH HANGUL FILLER"},
        {0xFFFC, "OBJECT REPLACEMENT CHARACTER"},
        {0xFFFD, "REPLACEMENT CHARACTER"},
    };
    if (point < 0x20) {
        return c0[point];
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (names[i].point == point) {
            return names[i].name;
        }
    }
    return NULL;
}

static bool is_noncharacter(uint32_t point)
{
    return (point & 0xFFFE) == 0xFFFE || (point >= 0xFDD0 && point <= 0xFDEF);
}

/* What kind of character it is that has no name here; NULL: nothing special. */
static const char *class_of(uint32_t point)
{
    if (point >= 0xE0000 && point <= 0xE007F) {
        return "a tag character";
    }
    if ((point >= 0xFE00 && point <= 0xFE0F) || (point >= 0xE0100 && point <= 0xE01EF)) {
        return "a variation selector";
    }
    if (is_noncharacter(point)) {
        return "no character";
    }
    switch (utf8proc_category((utf8proc_int32_t)point)) {
    case UTF8PROC_CATEGORY_CC:
        return "a control character";
    case UTF8PROC_CATEGORY_CF:
        return "a format character";
    case UTF8PROC_CATEGORY_CO:
        return "private use";
    case UTF8PROC_CATEGORY_CN:
        return "not assigned";
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
        return is_ignorable(point) ? "an invisible mark" : "a combining mark";
    default:
        return is_ignorable(point) ? "an invisible character" : NULL;
    }
}

void text_point_name(uint32_t point, char name[TEXT_POINT_BYTES])
{
    const char *known = name_of(point);
    const char *class = known ? NULL : class_of(point);
    int used = snprintf(name, TEXT_POINT_BYTES, "U+%04X", (unsigned)point);
    CHECK(used > 0);
    if (known || class) {
        snprintf(name + used, TEXT_POINT_BYTES - (size_t)used, known ? " %s" : " (%s)",
                 known ? known : class);
    }
}

/* ---- Characters that are refused ---- */

/* Three neighbours; 0 where there is none. */
struct spot {
    uint32_t before;
    uint32_t point;
    uint32_t after;
};

static bool is_pictograph(uint32_t point)
{
    return utf8proc_get_property((utf8proc_int32_t)point)->boundclass ==
           UTF8PROC_BOUNDCLASS_EXTENDED_PICTOGRAPHIC;
}

static bool is_virama(uint32_t point)
{
    return utf8proc_get_property((utf8proc_int32_t)point)->combining_class == 9;
}

static bool is_arabic_letter(uint32_t point)
{
    static const struct range letters[] = {
        {0x0620, 0x064A}, {0x066E, 0x066F}, {0x0671, 0x06D3}, {0x06D5, 0x06D5}, {0x06EE, 0x06EF},
        {0x06FA, 0x06FC}, {0x06FF, 0x06FF}, {0x0750, 0x077F}, {0x08A0, 0x08C7},
    };
    return IN_RANGES(letters, point);
}

/* Between 0..9, # or * and the box around it. */
static bool is_keycap(const struct spot *spot)
{
    bool key =
        (spot->before >= '0' && spot->before <= '9') || spot->before == '#' || spot->before == '*';
    return key && spot->after == 0x20E3;
}

/* An invisible character that people's texts need, where they need it: in emoji (Unicode's TS 51),
 * between letters that would join, and after a virama (RFC 5892, appendices A.1 and A.2). */
static bool is_joiner_in_place(const struct spot *spot)
{
    switch (spot->point) {
    case 0x200C:
        return is_virama(spot->before) ||
               (is_arabic_letter(spot->before) && is_arabic_letter(spot->after));
    case 0x200D: {
        bool behind_emoji = is_pictograph(spot->before) || spot->before == 0xFE0F ||
                            (spot->before >= 0x1F3FB && spot->before <= 0x1F3FF);
        return is_virama(spot->before) || (behind_emoji && is_pictograph(spot->after));
    }
    case 0xFE0E:
    case 0xFE0F:
        return is_pictograph(spot->before) || is_keycap(spot);
    default:
        return false;
    }
}

/* Signs before a number in Arabic and related scripts: Cf, but visible. */
static bool is_number_sign(uint32_t point)
{
    static const struct range signs[] = {
        {0x0600, 0x0605}, {0x06DD, 0x06DD},   {0x070F, 0x070F},   {0x0890, 0x0891},
        {0x08E2, 0x08E2}, {0x110BD, 0x110BD}, {0x110CD, 0x110CD},
    };
    return IN_RANGES(signs, point);
}

/* Whether a text must not have it. prose: it is people's. */
static bool is_refused(const struct spot *spot, bool prose)
{
    switch (utf8proc_category((utf8proc_int32_t)spot->point)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CN:
        return true;
    case UTF8PROC_CATEGORY_CF:
        return !(prose && (is_number_sign(spot->point) || is_joiner_in_place(spot)));
    default:
        return is_ignorable(spot->point) && !(prose && is_joiner_in_place(spot));
    }
}

/* Also refused in a code. */
static bool is_refused_in_code(const struct spot *spot)
{
    switch (utf8proc_category((utf8proc_int32_t)spot->point)) {
    case UTF8PROC_CATEGORY_ZS:
        return spot->point != 0x20 || spot->before == 0x20;
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
        return spot->before == 0; /* it would join the character before the code */
    default:
        return spot->point == 0x2800 || spot->point == 0xFFFC || spot->point == 0xFFFD;
    }
}

/* ---- Steps ---- */

static uint32_t bytes_max(enum text_kind kind)
{
    return kind == TEXT_CODE    ? CODE_BYTES_MAX
           : kind == TEXT_LABEL ? LABEL_BYTES_MAX
                                : REASON_BYTES_MAX;
}

static uint32_t bytes_min(enum text_kind kind)
{
    return kind == TEXT_CODE ? 1 : 0;
}

__attribute__((format(printf, 2, 3))) static bool refuse(char *error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(error, TEXT_ERROR_BYTES, format, args);
    va_end(args);
    return false;
}

static bool refuse_length(char *error, enum text_kind kind, size_t len)
{
    return refuse(error, "%zu bytes, must be %u..%u", len, bytes_min(kind), bytes_max(kind));
}

/* A space is refused only after another one. */
static bool refuse_point(char *error, uint32_t point, size_t at)
{
    char name[TEXT_POINT_BYTES];
    if (point == 0x20) {
        return refuse(error, "two spaces in a row at byte %zu", at - 1);
    }
    text_point_name(point, name);
    return refuse(error, "%s at byte %zu is not allowed", name, at);
}

/* Printable ASCII that is as it is to be kept: what nearly all codes are. */
static bool is_plain(enum text_kind kind, struct bytes text)
{
    if (text.len < bytes_min(kind) || text.len > bytes_max(kind)) {
        return false;
    }
    uint8_t before = ' '; /* a space is refused at the beginning, */
    for (size_t i = 0; i < text.len; i++) {
        uint8_t byte = text.data[i];
        bool twice = byte == ' ' && before == ' ' && (kind == TEXT_CODE || i == 0);
        if (byte < 0x20 || byte > 0x7E || twice) {
            return false;
        }
        before = byte;
    }
    return text.len == 0 || before != ' '; /* and at the end */
}

/* Where the text stops being UTF-8; its length: nowhere. */
static size_t valid_bytes(struct bytes text)
{
    size_t at = 0;
    while (at < text.len) {
        uint32_t point;
        size_t step = utf8_next(text.data + at, text.len - at, &point);
        if (step == 0) {
            break;
        }
        at += step;
    }
    return at;
}

/* The white space that the text ends in: its bytes. */
static size_t white_tail(struct bytes text)
{
    size_t end = text.len;
    while (end > 0) {
        size_t start = end - 1;
        while (start > 0 && end - start < 3 && (text.data[start] & 0xC0) == 0x80) {
            start--;
        }
        uint32_t point;
        if (utf8_next(text.data + start, end - start, &point) != end - start || !is_white(point)) {
            break;
        }
        end = start;
    }
    return text.len - end;
}

struct bytes text_trim(struct bytes given)
{
    uint32_t point;
    size_t step;
    while (given.len > 0 && (step = utf8_next(given.data, given.len, &point)) > 0 &&
           is_white(point)) {
        given = (struct bytes){given.data + step, given.len - step};
    }
    given.len -= white_tail(given);
    return given;
}

/* Looks at each character. offset: of the text in what was given. */
static bool check_points(enum text_kind kind, struct bytes text, size_t offset, char *error)
{
    struct spot spot = {0};
    uint32_t next = 0;
    size_t step = text.len ? utf8_next(text.data, text.len, &next) : 0;
    for (size_t at = 0; at < text.len;) {
        size_t behind = at + step;
        spot.point = next;
        next = 0;
        step = behind < text.len ? utf8_next(text.data + behind, text.len - behind, &next) : 0;
        spot.after = next;
        bool prose = kind != TEXT_CODE;
        if (is_refused(&spot, prose) || (!prose && is_refused_in_code(&spot))) {
            return refuse_point(error, spot.point, offset + at);
        }
        spot.before = spot.point;
        at = behind;
    }
    return true;
}

/* Writes the code points as UTF-8. False: they don't fit; *len is how many bytes they take. */
static bool write_points(const utf8proc_int32_t *points, size_t count, size_t max, uint8_t *room,
                         size_t *len)
{
    *len = 0;
    for (size_t i = 0; i < count; i++) {
        uint8_t bytes[4];
        size_t more = (size_t)utf8proc_encode_char(points[i], bytes);
        if (*len + more <= max) {
            memcpy(room + *len, bytes, more);
        }
        *len += more;
    }
    return *len <= max;
}

/* Makes form C. *len: its bytes; if it is too long, a lower bound of them. */
static bool compose(struct bytes text, size_t max, uint8_t *room, size_t *len)
{
    utf8proc_int32_t points[POINTS_MAX];
    const utf8proc_option_t options = UTF8PROC_STABLE | UTF8PROC_COMPOSE;
    *len = text.len;
    utf8proc_ssize_t count =
        utf8proc_decompose(text.data, (utf8proc_ssize_t)text.len, points, POINTS_MAX, options);
    if (count < 0 || count > (utf8proc_ssize_t)POINTS_MAX) {
        return false;
    }
    count = utf8proc_normalize_utf32(points, count, options);
    CHECK(count >= 0);
    return write_points(points, (size_t)count, max, room, len);
}

bool text_take(enum text_kind kind, struct bytes given, uint8_t room[TEXT_ROOM_BYTES],
               struct bytes *text, char error[TEXT_ERROR_BYTES])
{
    *text = given;
    if (is_plain(kind, given)) {
        return true;
    }
    *text = (struct bytes){NULL, 0};
    size_t valid = valid_bytes(given);
    if (valid < given.len) {
        return refuse(error,
                      given.data[valid] == 0 ? "U+0000 NULL at byte %zu is not allowed"
                                             : "not valid UTF-8 at byte %zu",
                      valid);
    }
    struct bytes trimmed = text_trim(given);
    if (trimmed.len < bytes_min(kind)) {
        return given.len > 0 ? refuse(error, "nothing but white space")
                             : refuse_length(error, kind, 0);
    }
    size_t len = trimmed.len;
    if (len > (size_t)POINTS_MAX * 4) { /* not worth looking at */
        return refuse_length(error, kind, len);
    }
    if (!check_points(kind, trimmed, (size_t)(trimmed.data - given.data), error)) {
        return false;
    }
    if (!compose(trimmed, bytes_max(kind), room, &len)) {
        return refuse_length(error, kind, len);
    }
    bool same = len == trimmed.len && memcmp(room, trimmed.data, len) == 0;
    *text = same ? trimmed : (struct bytes){room, len};
    return true;
}

bool text_fits(enum text_kind kind, const char *text, char error[TEXT_ERROR_BYTES])
{
    uint8_t room[TEXT_ROOM_BYTES];
    struct bytes taken;
    return !text || text_take(kind, bytes_of(text), room, &taken, error);
}
