/* Drives the phone from C by its window. Build: cl phone.c user32.lib   or   x86_64-w64-mingw32-gcc -o phone.exe phone.c

     phone dial 1001       hangup   answer   status   activecall   mute 1   transfer 1002   dtmf 12#   volume 50   quit
     phone events          prints every event as one line of JSON, until Ctrl+C

   Exit code: what the phone answered (0 and 1, for status 0 to 4), 9 when no phone runs. */

#include <windows.h>
#include <stdio.h>
#include <string.h>

static const char *commands[] = {
    "dial", "hangup", "answer", "status", "activecall", "mute", "transfer", "dtmf", "volume", "quit",
};  /* dwData is the place in this list, from 1 */

#define SUBSCRIBE 100

static LRESULT send_command(HWND phone, HWND own, ULONG_PTR code, const char *text)
{
    COPYDATASTRUCT letter = {code, (DWORD)strlen(text), (void *)text};
    return SendMessageW(phone, WM_COPYDATA, (WPARAM)own, (LPARAM)&letter);
}

/* What the phone sends: an event, or the far end's URI for activecall. UTF-8, with a closing NUL. */
static LRESULT CALLBACK procedure(HWND window, UINT message, WPARAM wparam, LPARAM lparam)
{
    if (message == WM_COPYDATA) {
        puts((const char *)((COPYDATASTRUCT *)lparam)->lpData);
        fflush(stdout);
        return TRUE;
    }
    return DefWindowProcW(window, message, wparam, lparam);
}

static HWND own_window(void)
{
    WNDCLASSW kind = {0};
    kind.lpfnWndProc = procedure;
    kind.lpszClassName = L"PhoneClient";
    RegisterClassW(&kind);
    return CreateWindowExW(0, L"PhoneClient", L"", 0, 0, 0, 0, 0, HWND_MESSAGE, NULL, NULL, NULL);
}

int main(int count, char **words)
{
    HWND phone = FindWindowW(L"MicroSIP", NULL), own = own_window();
    const char *command = count > 1 ? words[1] : "status";
    MSG message;
    int code;
    if (!phone) {
        fputs("no phone runs\n", stderr);
        return 9;
    }
    if (!strcmp(command, "events")) {
        if (!send_command(phone, own, SUBSCRIBE, ""))
            return 0;
        while (GetMessageW(&message, NULL, 0, 0) > 0)
            DispatchMessageW(&message);
        return 0;
    }
    for (code = 1; code <= 10; code++) {
        if (!strcmp(command, commands[code - 1])) {
            LRESULT answer = send_command(phone, own, code, count > 2 ? words[2] : "");
            printf("%d\n", (int)answer);
            return code == 5 ? answer != 0 : (int)answer;  /* activecall answers an atom */
        }
    }
    fprintf(stderr, "there is no command %s\n", command);
    return 8;
}
