"""The freely licensed photographs that the shipped networks learnt from, gathered from Debian 12 and scikit-learn."""
