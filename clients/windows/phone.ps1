# PowerShell: dial, and events as they happen, over HTTP. Not run by offhook's own tests: there is no PowerShell where they run.
$url = if ($env:OFFHOOK_URL) { $env:OFFHOOK_URL } else { "http://127.0.0.1:5080" }
$token = (Get-Content "$env:LOCALAPPDATA\offhook\http-token").Trim()
$headers = @{ Authorization = "Bearer $token" }

Invoke-RestMethod "$url/v1/status" -Headers $headers
Invoke-RestMethod "$url/v1/calls" -Method Post -Headers $headers -ContentType "application/json; charset=utf-8" -Body (@{ to = "1001" } | ConvertTo-Json)

$after = (Invoke-RestMethod "$url/v1/snapshot" -Headers $headers).as_of
while ($true) {
    # Without the catch a break would show the last page again and again: PowerShell goes on with the next line.
    try { $page = Invoke-RestMethod "$url/v1/events?wait=20&after=$after" -Headers $headers }
    catch { Write-Warning "$_"; Start-Sleep 1; continue }
    foreach ($one in $page.events) { "$($one.time) $($one.type) $($one.subject)" }
    $after = $page.next
}
