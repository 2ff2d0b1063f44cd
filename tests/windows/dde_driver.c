/* Talks DDE as a Windows program does, told line by line what to do. Compiled with -DUNICODE -D_UNICODE it is a Unicode client
   (CF_UNICODETEXT), without it an ANSI one (CF_TEXT).

     connect SERVICE TOPIC    "connected" or "no"; * is any
     execute TEXT             "acknowledged" or "refused ERROR"
     request ITEM             "item TEXT" or "refused ERROR"
     poke ITEM TEXT           as execute
     advise ITEM [ack|warm]   "advised" or "refused ERROR"; news are told as "news ITEM TEXT"
     unadvise ITEM            "unadvised"
     raw HEX                  execute with these bytes
     disconnect
     hang MS                  answer no message for so long
     die                      end at once, without a word to anybody */

#include "line_reader.h"
#include <ddeml.h>
#include <tchar.h>

#ifdef UNICODE
#define FORMAT CF_UNICODETEXT
#define CODE_PAGE CP_WINUNICODE
#else
#define FORMAT CF_TEXT
#define CODE_PAGE CP_WINANSI
#endif
#define PATIENCE 10000

static DWORD instance;
static HCONV conversation;

/* Return UTF-8 as this client's own text. */
static TCHAR *own_text(const char *utf8)
{
    wchar_t *wide = widened(utf8);
#ifdef UNICODE
    return wide;
#else
    int size = WideCharToMultiByte(CP_ACP, 0, wide, -1, NULL, 0, NULL, NULL);
    char *text = malloc(size);
    WideCharToMultiByte(CP_ACP, 0, wide, -1, text, size, NULL, NULL);
    free(wide);
    return text;
#endif
}

/* Return this client's own text as UTF-8; `size` is in bytes. */
static char *as_utf8(const BYTE *bytes, DWORD size)
{
    static char text[150000];
    int length;
#ifdef UNICODE
    length = WideCharToMultiByte(CP_UTF8, 0, (const wchar_t *)bytes, size / 2, text, sizeof text - 1, NULL, NULL);
#else
    static wchar_t wide[150000];
    int characters = MultiByteToWideChar(CP_ACP, 0, (const char *)bytes, size, wide, 150000);
    length = WideCharToMultiByte(CP_UTF8, 0, wide, characters, text, sizeof text - 1, NULL, NULL);
#endif
    text[length] = 0;
    for (char *at = text; *at; at++)
        if (*at == '\n' || *at == '\r')
            *at = *at == '\n' ? '|' : ' ';
    return text;
}

static HSZ name(const char *utf8)
{
    TCHAR *text = own_text(utf8);
    HSZ made = DdeCreateStringHandle(instance, text, CODE_PAGE);
    free(text);
    return made;
}

static const char *text_of(HDDEDATA data)
{
    static BYTE bytes[300000];
    DWORD size = DdeGetData(data, NULL, 0, 0);
    DdeGetData(data, bytes, size < sizeof bytes ? size : sizeof bytes, 0);
    return as_utf8(bytes, size);
}

static HDDEDATA CALLBACK callback(UINT type, UINT format, HCONV who, HSZ topic, HSZ item, HDDEDATA data, ULONG_PTR a, ULONG_PTR b)
{
    (void)format, (void)who, (void)topic, (void)a, (void)b;
    if (type == XTYP_ADVDATA) {
        TCHAR wide[256];
        DdeQueryString(instance, item, wide, 256, CODE_PAGE);
        char item_name[800];
        strcpy(item_name, as_utf8((BYTE *)wide, (DWORD)(_tcslen(wide) * sizeof *wide)));
        say("news %s %s", item_name, data ? text_of(data) : "?");
        return (HDDEDATA)DDE_FACK;
    }
    if (type == XTYP_DISCONNECT)
        say("disconnected");
    return NULL;
}

static DWORD flags;  /* of the server's latest acknowledgement */

static HDDEDATA transact(BYTE *bytes, DWORD size, HSZ item, UINT format, UINT type)
{
    flags = 0;
    return DdeClientTransaction(bytes, size, conversation, item, format, type, PATIENCE, &flags);
}

static void tell(HDDEDATA done)
{
    if (done && (flags & DDE_FACK))
        answer("acknowledged");
    else
        answer("refused %#x flags %#lx", DdeGetLastError(instance), flags);
}

static void execute(const char *text)
{
    TCHAR *own = own_text(text);
    tell(transact((BYTE *)own, (DWORD)((_tcslen(own) + 1) * sizeof *own), 0, 0, XTYP_EXECUTE));
    free(own);
}

static void request(const char *item)
{
    HDDEDATA found = transact(NULL, 0, name(item), FORMAT, XTYP_REQUEST);
    if (found) {
        answer("item %s", text_of(found));
        DdeFreeDataHandle(found);
    } else {
        answer("refused %#x", DdeGetLastError(instance));
    }
    pump(20);  /* Wine 8 sends an acknowledgement after the data, which the next transaction would take for its own answer */
}

static void poke(const char *item, const char *text)
{
    TCHAR *own = own_text(text);
    tell(transact((BYTE *)own, (DWORD)((_tcslen(own) + 1) * sizeof *own), name(item), FORMAT, XTYP_POKE));
    free(own);
}

static void advise(const char *item, const char *how)
{
    UINT kind = !how ? 0 : !strcmp(how, "ack") ? XTYPF_ACKREQ : XTYPF_NODATA;
    if (transact(NULL, 0, name(item), FORMAT, XTYP_ADVSTART | kind))
        answer("advised");
    else
        answer("refused %#x", DdeGetLastError(instance));
}

static void raw(const char *text)
{
    static BYTE bytes[MAX_LINE_LENGTH / 2];
    DWORD size = 0;
    unsigned value;
    while (text && sscanf(text + 2 * size, "%2x", &value) == 1)
        bytes[size++] = (BYTE)value;
    tell(transact(bytes, size, 0, 0, XTYP_EXECUTE));
}

static void obey(char *line)
{
    char *word = strtok(line, " ");
    char *rest = word ? strtok(NULL, "") : NULL;
    char *more = rest ? strchr(rest, ' ') : NULL;
    if (!word)
        return;
    if (!strcmp(word, "execute")) {
        execute(rest ? rest : "");
        return;
    }
    if (more && strcmp(word, "execute"))
        *more++ = 0;
    if (!strcmp(word, "connect")) {
        conversation = DdeConnect(instance, strcmp(rest, "*") ? name(rest) : NULL, strcmp(more, "*") ? name(more) : NULL, NULL);
        answer(conversation ? "connected" : "no");
    } else if (!strcmp(word, "request")) {
        request(rest);
    } else if (!strcmp(word, "poke")) {
        poke(rest, more ? more : "");
    } else if (!strcmp(word, "advise")) {
        advise(rest, more);
    } else if (!strcmp(word, "unadvise")) {
        transact(NULL, 0, name(rest), FORMAT, XTYP_ADVSTOP);
        answer("unadvised");
    } else if (!strcmp(word, "raw")) {
        raw(rest);
    } else if (!strcmp(word, "disconnect")) {
        DdeDisconnect(conversation);
        answer("over");
    } else if (!strcmp(word, "hang")) {
        say("hanging");
        Sleep(atoi(rest));
        answer("back");
    } else if (!strcmp(word, "die")) {
        TerminateProcess(GetCurrentProcess(), 9);
    }
}

int main(void)
{
    start_reading();
    if (DdeInitialize(&instance, callback, APPCMD_CLIENTONLY, 0))
        return 1;
    say("ready");
    run_lines(obey);
    DdeUninitialize(instance);
    return 0;
}
