"""The systems that SEN is compared with: their difference encoders and, of the
recurrent ones, their speakers."""
