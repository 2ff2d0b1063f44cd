"""offhook: a SIP softphone that programs drive."""

__version__ = "0.1.0"
