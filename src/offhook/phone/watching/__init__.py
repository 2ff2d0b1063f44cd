"""What others do and what they may know of us: message waiting, dialogs, presence. The bodies and the watches."""
