; AutoHotkey 2: dial, status, and every event. Not run by offhook's own tests: there is no AutoHotkey where they run.
#Requires AutoHotkey v2.0

Send_(code, text := "") {
    payload := Buffer(StrPut(text, "UTF-8"))
    StrPut(text, payload, "UTF-8")
    letter := Buffer(3 * A_PtrSize, 0)
    NumPut("UPtr", code, letter, 0)
    NumPut("UInt", payload.Size - 1, letter, A_PtrSize)
    NumPut("Ptr", payload.Ptr, letter, 2 * A_PtrSize)
    DetectHiddenWindows true
    return SendMessage(0x4A, A_ScriptHwnd, letter.Ptr, , "ahk_class MicroSIP")
}

OnMessage(0x4A, Received)
Received(wParam, lParam, *) {
    text := StrGet(NumGet(lParam, 2 * A_PtrSize, "Ptr"), "UTF-8")
    ToolTip(text)
    return true
}

Send_(100)                                  ; from now on every event
#c:: MsgBox(Send_(1, A_Clipboard) ? "calling" : "refused")
#s:: MsgBox("status " Send_(4))             ; 0 idle, 1 ringing, 2 active, 3 hold, 4 disconnected
#h:: Send_(2)
