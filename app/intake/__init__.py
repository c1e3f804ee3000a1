"""What comes in, judged before it is believed: uploads, URIs, registrations, the references of a spec."""
