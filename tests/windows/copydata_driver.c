/* Drives the phone's window as a Windows program does, told line by line what to do:

     find                    handle and title of the window of class MicroSIP
     send CODE HEX [none]    WM_COPYDATA with these bytes from our window (none: from nobody): "lresult N"
     null CODE SIZE          the same with a null pointer and this size; `raw LPARAM`: with no COPYDATASTRUCT at all
     atom N                  the name of a global atom
     poll TIMES MS LAST      STATUS again and again, until it is LAST after it was something else: "statuses 0 1 2"
     bench TIMES             STATUS: "bench MEAN P99 MAX" in milliseconds
     flood TIMES SEED        hostile messages: "flooded N in MS, M not 0"
     nest TIMES              ACTIVECALL within the answer to ACTIVECALL, so often
     hang MS                 answer no message for so long
     post MESSAGE WPARAM     any other message to the window

   What is sent to our window is told as "got CODE TEXT". */

#include "line_reader.h"

static HWND own;
static int nested, nestings;

static HWND phone(void)
{
    return FindWindowW(L"MicroSIP", NULL);
}

static LRESULT send_bytes(ULONG_PTR code, const void *bytes, DWORD size, HWND from)
{
    COPYDATASTRUCT letter = {code, size, (void *)bytes};
    return SendMessageW(phone(), WM_COPYDATA, (WPARAM)from, (LPARAM)&letter);
}

static LRESULT CALLBACK procedure(HWND window, UINT message, WPARAM wparam, LPARAM lparam)
{
    if (message == WM_COPYDATA) {
        COPYDATASTRUCT *letter = (COPYDATASTRUCT *)lparam;
        say("got %llu %.*s", (unsigned long long)letter->dwData, (int)letter->cbData, (char *)letter->lpData);
        if (nested < nestings) {
            nested++;
            say("nested %lld", (long long)send_bytes(5, NULL, 0, own));
        }
        return TRUE;
    }
    return DefWindowProcW(window, message, wparam, lparam);
}

static DWORD unhex(const char *text, BYTE *bytes)
{
    DWORD size = 0;
    unsigned value;
    while (text && sscanf(text + 2 * size, "%2x", &value) == 1)
        bytes[size++] = (BYTE)value;
    return size;
}

static double now_ms(void)
{
    LARGE_INTEGER ticks, rate;
    QueryPerformanceCounter(&ticks);
    QueryPerformanceFrequency(&rate);
    return ticks.QuadPart * 1000.0 / rate.QuadPart;
}

static int ascending(const void *one, const void *other)
{
    double a = *(const double *)one, b = *(const double *)other;
    return a < b ? -1 : a > b;
}

static void poll_status(int times, double gap, LRESULT end)
{
    char seen[4000] = "statuses";
    LRESULT last = -1;
    double begun = now_ms();
    for (int n = 0; n < times && (n < 2 || last != end || !strchr(seen + 10, ' ')); n++) {
        LRESULT status = send_bytes(4, NULL, 0, NULL);
        if (status != last && strlen(seen) < sizeof seen - 10) {
            sprintf(seen + strlen(seen), " %lld", (long long)status);
            say("status %lld", (long long)status);
        }
        last = status;
        while (now_ms() < begun + (n + 1) * gap)
            pump(1);
    }
    answer("%s in %.0f ms", seen, now_ms() - begun);
}

static void bench(int times)
{
    double *took = malloc(times * sizeof *took), sum = 0;
    for (int n = 0; n < times; n++) {
        double begun = now_ms();
        send_bytes(4, NULL, 0, NULL);
        took[n] = now_ms() - begun;
        sum += took[n];
    }
    qsort(took, times, sizeof *took, ascending);
    answer("bench %.3f %.3f %.3f", sum / times, took[times * 99 / 100], took[times - 1]);
    free(took);
}

/* A few words, so that some of the noise looks like commands. */
static const char *words[] = {
    "1001", "sip:1@127.0.0.1;x=\"&%\n", "/transfer:1002", "& calc.exe", "%COMSPEC% /c calc", "\"1001\" /exit", "",
    "sip:a@b\r\nRoute: x", "../../etc", "\xff\xfe\xff", "\xc3\x28", "msip:speakup", "999999999999999999999", "-1", "1e1", "0x10",
};

static void flood(int times, unsigned seed)
{
    static const ULONG_PTR codes[] = {0, 11, 12, 99, 1000, (ULONG_PTR)-1, 1, 2, 6, 7, 8, 9, 100, 101, 102, 4, 5};
    static BYTE noise[80000];
    int others = 0;
    double begun = now_ms();
    srand(seed);
    for (int n = 0; n < times; n++) {
        ULONG_PTR code = codes[rand() % (sizeof codes / sizeof *codes)];
        DWORD size = 0;
        const void *bytes = noise;
        switch (rand() % 6) {
        case 0:
            bytes = NULL;
            break;
        case 1:
            size = rand() % 40;
            for (DWORD at = 0; at < size; at++)
                noise[at] = (BYTE)rand();
            break;
        case 2:
            size = 66000 + rand() % 10000;
            memset(noise, 'A' + rand() % 26, size);
            break;
        case 3: {  /* wide */
            wchar_t *wide = widened(words[rand() % (sizeof words / sizeof *words)]);
            size = (DWORD)wcslen(wide) * 2;
            memcpy(noise, wide, size);
            free(wide);
            break;
        }
        default: {
            const char *word = words[rand() % (sizeof words / sizeof *words)];
            size = (DWORD)strlen(word) + rand() % 2;
            memcpy(noise, word, size);
        }
        }
        if (code == 2 && (size == 0 || !noise[0]))
            continue;  /* HANGUP: no noise, whatever lies behind the end of its text */
        if ((code == 7 || code == 8) && size && noise[0] > ' ' && noise[0] != 0xff)
            continue;  /* a transfer, or digits: they end at the first NUL, too */
        others += send_bytes(code, bytes, size, rand() % 3 ? NULL : (HWND)(ULONG_PTR)rand()) != 0;
    }
    answer("flooded %d in %.0f ms, %d not 0", times, now_ms() - begun, others);
}

static void obey(char *line)
{
    static BYTE bytes[MAX_LINE_LENGTH / 2];
    char *rest[3] = {0};
    char *word = strtok(line, " ");
    for (int n = 0; n < 3; n++)
        rest[n] = strtok(NULL, " ");
#define NUMBER(n) (rest[n] ? _strtoui64(rest[n], NULL, 0) : 0)
    if (!word)
        return;
    if (!strcmp(word, "find")) {
        char title[100] = "", class[100] = "";
        GetWindowTextA(phone(), title, sizeof title);
        GetClassNameA(phone(), class, sizeof class);
        answer("found %llu %s %s", (unsigned long long)(ULONG_PTR)phone(), class, title);
    } else if (!strcmp(word, "send")) {
        int empty = rest[1] && !strcmp(rest[1], "-");
        DWORD size = empty ? 0 : unhex(rest[1], bytes);
        answer("lresult %lld", (long long)send_bytes(NUMBER(0), empty ? NULL : bytes, size, rest[2] ? NULL : own));
    } else if (!strcmp(word, "null")) {
        answer("lresult %lld", (long long)send_bytes(NUMBER(0), NULL, (DWORD)NUMBER(1), own));
    } else if (!strcmp(word, "raw")) {
        answer("lresult %lld", (long long)SendMessageW(phone(), WM_COPYDATA, 0, (LPARAM)NUMBER(0)));
    } else if (!strcmp(word, "atom")) {
        wchar_t wide[300] = L"";
        char name[900] = "";
        GlobalGetAtomNameW((ATOM)NUMBER(0), wide, 300);
        WideCharToMultiByte(CP_UTF8, 0, wide, -1, name, sizeof name, NULL, NULL);
        answer("atom %s", name);
    } else if (!strcmp(word, "poll")) {
        poll_status((int)NUMBER(0), (double)NUMBER(1), (LRESULT)NUMBER(2));
    } else if (!strcmp(word, "bench")) {
        bench((int)NUMBER(0));
    } else if (!strcmp(word, "flood")) {
        flood((int)NUMBER(0), (unsigned)NUMBER(1));
    } else if (!strcmp(word, "nest")) {
        nested = 0;
        nestings = (int)NUMBER(0);
        answer("lresult %lld", (long long)send_bytes(5, NULL, 0, own));
        nestings = 0;
    } else if (!strcmp(word, "hang")) {
        say("hanging");
        Sleep((DWORD)NUMBER(0));
        answer("awake");
    } else if (!strcmp(word, "post")) {
        answer("posted %d", PostMessageW(phone(), (UINT)NUMBER(0), (WPARAM)NUMBER(1), 0));
    }
}

int main(void)
{
    WNDCLASSW class = {0};
    start_reading();
    class.lpfnWndProc = procedure;
    class.lpszClassName = L"CopydataDriver";
    RegisterClassW(&class);
    own = CreateWindowExW(0, L"CopydataDriver", L"", 0, 0, 0, 0, 0, HWND_MESSAGE, NULL, NULL, NULL);
    say("ready %llu", (unsigned long long)(ULONG_PTR)own);
    run_lines(obey);
    return 0;
}
