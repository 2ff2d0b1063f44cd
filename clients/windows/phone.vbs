' Drives the phone from VBScript: by its command line, and over HTTP.
'
'   cscript //nologo phone.vbs run dtmf:12345     the command line: prints the exit code (0 done, 1 refused, 2 usage, 3 no phone)
'   cscript //nologo phone.vbs status             over HTTP: prints the answer in JSON
'   cscript //nologo phone.vbs dial 1001
'   cscript //nologo phone.vbs hangup
'   cscript //nologo phone.vbs wait EVENT-ID      the events after this one; waits up to 20 s for the next
'
' HTTP must be on ([http] enabled = true). MICROSIP, OFFHOOK_URL and OFFHOOK_TOKEN_FILE say where program, address and token are.
Option Explicit

Dim shell : Set shell = CreateObject("WScript.Shell")

Function Setting(name, otherwise)
    Setting = Expanded("%" & name & "%")
    If Setting = "%" & name & "%" Then Setting = Expanded(otherwise)
End Function

' Wine leaves the closing NUL of a C string at the end.
Function Expanded(text)
    Expanded = Replace(shell.ExpandEnvironmentStrings(text), Chr(0), "")
End Function

Function Token()
    Dim file
    Set file = CreateObject("Scripting.FileSystemObject").OpenTextFile(Setting("OFFHOOK_TOKEN_FILE", "%LOCALAPPDATA%\offhook\http-token"))
    Token = Trim(Replace(Replace(file.ReadAll, vbCr, ""), vbLf, ""))
End Function

Function Ask(method, path, body)
    Dim http : Set http = CreateObject("WinHttp.WinHttpRequest.5.1")
    http.Open method, Setting("OFFHOOK_URL", "http://127.0.0.1:5080") & path, False
    http.SetRequestHeader "Authorization", "Bearer " & Token()
    http.SetRequestHeader "Content-Type", "application/json"
    http.Send body
    Ask = http.Status & " " & http.ResponseText
End Function

' A text as JSON writes it.
Function Quoted(text)
    Quoted = """" & Replace(Replace(text, "\", "\\"), """", "\""") & """"
End Function

' An argument as Windows programs take it apart: quotation marks inside are refused, not guessed.
Function Argument(text)
    If InStr(text, """") > 0 Then WScript.Quit 2
    Argument = """" & text & """"
End Function

Dim words : Set words = WScript.Arguments
If words.Count = 0 Then WScript.Quit 2
Select Case LCase(words(0))
    Case "run"
        WScript.Echo shell.Run(Setting("MICROSIP", "microsip") & " " & Argument(words(1)), 0, True)
    Case "status"
        WScript.Echo Ask("GET", "/v1/status", "")
    Case "dial"
        WScript.Echo Ask("POST", "/v1/calls", "{""to"":" & Quoted(words(1)) & "}")
    Case "hangup"
        WScript.Echo Ask("POST", "/v1/calls/active/hangup", "{}")
    Case "wait"
        WScript.Echo Ask("GET", "/v1/events?wait=20&after=" & words(1), "")
    Case Else
        WScript.Quit 2
End Select
