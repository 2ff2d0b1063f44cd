/* Lines from standard input, read on a thread, handed to the main thread's message loop: a Windows program that is told what
   to do while its windows keep answering. A line begins with a number, and its answer ends with it: "7 find" is answered
   "found ... #7.". UTF-8 in, UTF-8 out. */
#ifndef LINE_READER_H
#define LINE_READER_H

#include <windows.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WM_LINE (WM_APP + 1)
#define MAX_LINE_LENGTH 300000

static DWORD main_thread;

static DWORD WINAPI read_lines(void *unused)
{
    char *line = malloc(MAX_LINE_LENGTH);
    (void)unused;
    while (fgets(line, MAX_LINE_LENGTH, stdin)) {
        line[strcspn(line, "\r\n")] = 0;
        PostThreadMessageW(main_thread, WM_LINE, 0, (LPARAM)_strdup(line));
    }
    PostThreadMessageW(main_thread, WM_QUIT, 0, 0);
    return 0;
}

static void start_reading(void)
{
    MSG message;
    PeekMessageW(&message, NULL, WM_USER, WM_USER, PM_NOREMOVE);
    main_thread = GetCurrentThreadId();
    setvbuf(stdout, NULL, _IONBF, 0);
    CreateThread(NULL, 0, read_lines, NULL, 0, NULL);
}

static char said[200000];

/* Say something that nobody asked for. */
static void say(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(said, sizeof said - 20, format, arguments);
    va_end(arguments);
    strcat(said, "\n");
    fputs(said, stdout);
}

static unsigned asked;  /* the number of the line that is being obeyed */

/* Answer the line. */
static void answer(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(said, sizeof said - 20, format, arguments);
    va_end(arguments);
    sprintf(said + strlen(said), " #%u.\n", asked);
    fputs(said, stdout);
}

/* Run the loop: `obey` gets each line. */
static void run_lines(void (*obey)(char *line))
{
    MSG message;
    while (GetMessageW(&message, NULL, 0, 0) > 0) {
        if (!message.hwnd && message.message == WM_LINE) {
            char *line = (char *)message.lParam;
            asked = strtoul(line, &line, 10);
            obey(line);
            free((void *)message.lParam);
        } else {
            DispatchMessageW(&message);
        }
    }
}

/* Let pending messages through for some milliseconds. */
static void pump(DWORD milliseconds)
{
    MSG message;
    DWORD until = GetTickCount() + milliseconds;
    do {
        while (PeekMessageW(&message, NULL, 0, 0, PM_REMOVE)) {
            if (!message.hwnd && message.message == WM_LINE)
                PostThreadMessageW(main_thread, WM_LINE, 0, message.lParam);  /* later */
            else
                DispatchMessageW(&message);
            if ((int)(until - GetTickCount()) <= 0)
                break;
        }
        Sleep(1);
    } while ((int)(until - GetTickCount()) > 0);
}

static wchar_t *widened(const char *text)
{
    int length = MultiByteToWideChar(CP_UTF8, 0, text, -1, NULL, 0);
    wchar_t *wide = malloc(length * sizeof *wide);
    MultiByteToWideChar(CP_UTF8, 0, text, -1, wide, length);
    return wide;
}

#endif
